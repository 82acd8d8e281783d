/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What altmmu's tests share: VMs on the MMU of a test's choice, vCPUs that run
 * while the host changes memory, and what the host knows of both.
 */
#ifndef SELFTEST_KVM_ALTMMU_H
#define SELFTEST_KVM_ALTMMU_H

#include <linux/sizes.h>

#include "test_util.h"
#include "kvm_util.h"
#include "processor.h"
#include "ucall_common.h"

/* Where tests have their memory.  The guest sees it at the same address. */
#define TEST_SLOT		10
#define TEST_GPA		SZ_4G

#define TEST_VCPUS		2

/* For tests that may take long under an emulator, in seconds. */
#define TEST_TIMEOUT_LONG	110

/* What a guest reads where no memory is. */
#define MMIO_DATA		0x4d4d494f4d4d494fULL

/**
 * struct guest_control - by which host and guest talk while the guest runs
 * @stop:	the guest is to end
 * @phase:	what the guest can rely on, see guest_phase()
 * @passes:	how often each vCPU has been through the memory
 * @start:	for guest_touch(): address of the first page
 * @nr_pages:	how many pages
 * @write:	write to each page, instead of reading it
 *
 * The host gets at the guest's copy with host_control().
 */
struct guest_control {
	u64 stop;
	u64 phase;
	u64 passes[TEST_VCPUS];
	u64 start;
	u64 nr_pages;
	u64 write;
};

extern struct guest_control guest_control;

/* A phase in which the host changes something: nothing is certain. */
#define PHASE_CHANGING		0

static inline u64 guest_phase(void)
{
	return READ_ONCE(guest_control.phase);
}

static inline bool guest_stopped(void)
{
	return READ_ONCE(guest_control.stop);
}

static inline void guest_end_pass(u32 vcpu_id)
{
	WRITE_ONCE(guest_control.passes[vcpu_id],
		   guest_control.passes[vcpu_id] + 1);
}

void guest_touch(void);

/* Which MMUs there are, and VMs that are on one of them. */
bool mmu_is_there(u64 mmu);
bool mmu_has_tdp_mmu(u64 mmu);
void mmu_require_altmmu(void);
struct kvm_vm *mmu_create_vm(u64 mmu, unsigned long type);
void mmu_boot_vm(struct kvm_vm *vm, u32 nr_vcpus, void *guest_code,
		 struct kvm_vcpu *vcpus[]);
struct kvm_vm *mmu_create_with_vcpus(u64 mmu, u32 nr_vcpus, void *guest_code,
				     struct kvm_vcpu *vcpus[]);

/* Running a guest. */
bool guest_is_done(struct kvm_vcpu *vcpu);
void *host_pointer(struct kvm_vm *vm, void *guest_global);
struct guest_control *host_control(struct kvm_vm *vm);
void run_until_sync(struct kvm_vcpu *vcpu);
void touch_memory(struct kvm_vcpu *vcpu, u64 gpa, u64 size, bool write);

struct vcpu_thread {
	struct kvm_vcpu *vcpu;
	pthread_t thread;
	u64 bad_addresses;
};

void vcpu_threads_run(struct vcpu_thread *threads, struct kvm_vcpu *vcpus[],
		      u32 nr_vcpus, void *(*run)(void *thread));
void vcpu_threads_start(struct vcpu_thread *threads, struct kvm_vcpu *vcpus[],
			u32 nr_vcpus);
void vcpu_wait_first_pass(struct kvm_vcpu *vcpu);
void vcpu_threads_wait_passes(struct vcpu_thread *threads, u32 nr_vcpus);
void vcpu_threads_stop(struct vcpu_thread *threads, u32 nr_vcpus);
void set_phase(struct kvm_vm *vm, u64 phase);
u64 random_below(u64 end);

/* The host's memory. */
size_t huge_size(void *mem, size_t size);
bool is_all_huge(void *mem, size_t size);
void *add_thp_slot(struct kvm_vm *vm, u64 gpa, u32 slot, u64 size);
u64 pfn_of(void *mem);
bool pages_stay(void *mem, u64 nr, u64 step, const u64 *pfns);
bool pages_settle(void *mem, u64 nr, u64 step, u64 *pfns);
int idle_open(void);
void idle_mark(int bitmap, u64 pfn);
bool idle_is(int bitmap, u64 pfn);
long meminfo_kb(const char *name);
long host_event_count(const char *name);
long page_table_kb(void);
long page_table_kb_at_rest(void);
long page_table_kb_after(long expected);

/* Files by which the kernel is told things. */
bool read_file(const char *path, char *text, size_t size);
bool write_file(const char *path, const char *text);
bool keep_file(const char *path);
void on_every_exit(void (*function)(void));

#define KVM_PARAM(name)		"/sys/module/kvm/parameters/" name

#endif /* SELFTEST_KVM_ALTMMU_H */
