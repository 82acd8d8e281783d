/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the tests of mirrored private page tables share: VMs of the soft-mirror
 * type, memory that the guest sees as private and as shared, accesses that may
 * fail, and what the provider has counted.
 *
 * The program, its stack and its page tables are private, too, but the host can
 * write them: they are in a guest_memfd that the library's memory is mapped to.
 */
#ifndef SELFTEST_KVM_ALTMMU_PRIVATE_H
#define SELFTEST_KVM_ALTMMU_PRIVATE_H

#include "altmmu.h"

/* What the hypercall that accepts a page returns. */
enum accept_result {
	ACCEPT_OK = 0,
	ACCEPT_BUSY = 1,
	ACCEPT_OPERAND = 4,
	ACCEPT_ALREADY = 12,
	ACCEPT_SIZE = 13,
};

#define PRIVATE_BATCH	KVM_PARAM("altmmu_private_batch")
#define PRIVATE_AROUND	KVM_PARAM("altmmu_private_around")

/* Where the guest sees memory with the shared bit set. */
#define SHARED_VIEW	BIT_ULL(44)

/* VMs. */
bool private_is_there(void);
void private_require(void);
struct kvm_vm *private_create_vm(u64 bit, u64 flags);
void private_boot_vm(struct kvm_vm *vm, u32 nr_vcpus, void *guest_code,
		     struct kvm_vcpu *vcpus[]);
void private_finalize(struct kvm_vm *vm);
int private_set(struct kvm_vm *vm, u64 bit, u64 flags);
u64 private_shared_bit(struct kvm_vm *vm);
void *private_add_memory(struct kvm_vm *vm, gpa_t gpa, u32 slot, u64 size);
void *private_add_mapped(struct kvm_vm *vm, gpa_t gpa, u32 slot, u64 size,
			 int *fd);
void private_map_views(struct kvm_vm *vm, gpa_t gpa, u64 size, int level);
int private_pre_fault(struct kvm_vcpu *vcpu, gpa_t gpa, u64 size);

/**
 * struct provider_counts - what has been asked of a provider so far
 *
 * Calls that were busy are left out, but for those members that count them.
 */
struct provider_counts {
	u64 link, map, add, block, track, unblock, remove, unlink, promote,
	    demote, open_window, close_window, kicks, busy;
};

void provider_read(struct kvm_vm *vm, struct provider_counts *counts);
void provider_inject(struct kvm_vm *vm, const char *what);
void private_check_mirror(struct kvm_vm *vm);
void private_delete_all(struct kvm_vm *vm);

/*
 * Guest: accesses that KVM may have user space decide.  A thread that runs the
 * vCPU with skip_memory_fault() leaves them out; they say so.
 */
#define ACCESS_SKIPPED	0x5b1bbed5b1bbedULL

u64 guest_read(u64 gva);
bool guest_write(u64 gva, u64 value);
u64 guest_accept(gpa_t gpa, u64 level);

/*
 * Guest: leave once, for KVM to come back at once.  Who never does gets no
 * interrupts in some emulators, and the host with him.
 */
static inline void guest_leave(void)
{
	u32 unused;

	cpuid(0, &unused, &unused, &unused, &unused);
}

/**
 * struct guest_request - what guest_serve() is to do, and what it found
 * @accept_level:	of the page to accept first, if it is not 0
 * @gpa:		of that page
 * @gva:		of a word to read, if it is not 0
 * @leaves:		what to write there, if it is not 0
 * @accepted:		what the guest got for accepting
 * @found:		what it has read
 *
 * The host gets at the guest's copy with host_request().
 */
struct guest_request {
	u64 accept_level;
	u64 gpa;
	u64 gva;
	u64 leaves;
	u64 accepted;
	u64 found;
};

/* One request after the other, each from host to guest and back. */
#define PAGE_GPA(page)	(TEST_GPA + (page) * PAGE_SIZE)

struct kvm_vm *private_create_serving(u64 bit, u64 flags,
				      struct kvm_vcpu **vcpu);
struct guest_request *host_request(struct kvm_vm *vm);
u64 exchange(struct kvm_vcpu *vcpu, u64 gva, u64 leaves);
u64 private_word(struct kvm_vcpu *vcpu, u64 page, u64 leaves);
u64 shared_word(struct kvm_vcpu *vcpu, u64 page, u64 leaves);
u64 accept_page(struct kvm_vcpu *vcpu, gpa_t gpa, u64 level);

bool is_memory_fault(struct kvm_vcpu *vcpu, int ret);
bool exits_at(struct kvm_vcpu *vcpu, u64 gpa, bool private);
void skip_access(struct kvm_vcpu *vcpu);
void private_threads_start(struct vcpu_thread *threads,
			   struct kvm_vcpu *vcpus[], u32 nr_vcpus);

#endif /* SELFTEST_KVM_ALTMMU_PRIVATE_H */
