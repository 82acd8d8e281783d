/* SPDX-License-Identifier: GPL-2.0 */
/*
 * vmm: a small virtual machine monitor that boots Linux on KVM.
 *
 * What the files share: the options, the VM and its vCPUs, and a function or
 * two for each file.  How the guest's memory is laid out is in layout.h.
 */
#ifndef VMM_H
#define VMM_H

#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdnoreturn.h>
#include <termios.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;

#define BIT(n)		(1ULL << (n))
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

/* The compiler looks at arguments as it does at printf()'s. */
#define __printf(text, first) \
	__attribute((format(__printf__, text, first)))

#define KIB		1024ULL
#define MIB		(1024 * KIB)
#define GIB		(1024 * MIB)

/*
 * Which MMU a VM gets.  Experimental, hence a number far from those that are
 * given out: KVM_CHECK_EXTENSION returns a mask of the MMUs that can be had,
 * KVM_ENABLE_CAP on the VM with args[0] selects one, as long as the VM has
 * neither vCPU nor memslot.
 */
#ifndef KVM_CAP_X86_MMU
#define KVM_CAP_X86_MMU		0x414d4d55
#define KVM_X86_MMU_KVM		0
#define KVM_X86_MMU_ALTMMU	1
#endif

/* What the process exits with when the guest did not say. */
#define STATUS_OFF	0	/* powered off */
#define STATUS_ERROR	1	/* a bad option, file or ioctl */
#define STATUS_CRASH	120	/* triple fault, or KVM could not go on */
#define STATUS_RESET	121	/* the guest asked to be rebooted */
#define STATUS_QUIT	122	/* Ctrl-A x */
#define STATUS_FAULT	123	/* it used memory in a way that it can't be */

enum backing {
	BACKING_ANON,
	BACKING_THP,
	BACKING_HUGETLB,
	BACKING_MEMFD,
	BACKING_GUEST_MEMFD,	/* with --private, and only there */
	NR_BACKINGS,
};

enum stats_format {
	STATS_NONE,
	STATS_TABLE,
	STATS_RAW,
};

/* --mmu or --backing was not given. */
#define MMU_DEFAULT	(-1)
#define BACKING_DEFAULT	(-1)

struct options {
	const char *device;
	const char *kernel;
	const char *initrd;
	const char *append;
	u64 memory;
	int cpus;
	int backing;		/* enum backing */
	bool private;
	int mmu;
	enum stats_format stats;
};

extern const char * const backing_names[];
extern const char * const mmu_names[];

/* 16550A: what the driver can read back, and what waits to be read. */
#define SERIAL_FIFO	16

struct serial {
	pthread_mutex_t lock;
	u8 ier, lcr, mcr, fcr, scratch;
	u16 divisor;
	bool thr_empty;		/* the transmitter wants to interrupt */
	bool line;		/* level of the interrupt line */
	u8 fifo[SERIAL_FIFO];
	unsigned int head, count;
};

/* What KVM counted up to one moment. */
struct stats_sample {
	bool taken;
	u64 nanoseconds;	/* since the first vCPU ran */
	u64 table_bytes;	/* page tables of VMs, since there is ours */
	u64 metadata_bytes;	/* what the MMU has beside them; 0: not known */
	u64 *values;		/* named in struct stats */
};

/* Why the guest no longer runs; the first reason stands. */
struct ending {
	int status;
	int signal;		/* one that the VMM got, or 0 */
	char crash[160];	/* what went wrong, or "" */
	int crash_vcpu;
	struct kvm_regs regs;
	struct kvm_sregs sregs;
};

struct vm;
struct stats;

struct vcpu {
	struct vm *vm;
	int id;			/* also its APIC ID */
	int fd;
	struct kvm_run *run;
	pthread_t thread;

	/* For private memory: what it used wrongly, and how often in a row. */
	u64 fault_address;
	bool fault_private;
	unsigned int faults;
};

struct vm {
	const struct options *options;
	int device;		/* /dev/kvm */
	int fd;
	int mmu;		/* KVM_X86_MMU_*, as far as it is known */
	u8 *memory;
	int guest_memfd;	/* for private memory: what it is from */
	int shared_bit;		/* and which address bit means shared */
	int cpus;
	struct vcpu *vcpus;
	size_t run_size;	/* of the mapping that a vCPU has */

	struct serial serial;
	u16 pm1_enable;

	int event;		/* eventfd: the console is to look again */
	atomic_bool ended;
	struct ending ending;

	u64 started;		/* nanoseconds, CLOCK_MONOTONIC */
	atomic_bool marked;	/* the guest has reached user space */
	struct stats *stats;	/* if they were asked for */
	struct stats_sample at_mark, at_end;
};

/* error.c: one line on stderr, with the terminal restored, and exit(1). */
__printf(1, 2) noreturn
void die(const char *format, ...);
__printf(1, 2) noreturn
void die_errno(const char *format, ...);
int kvm_call(int fd, unsigned long request, const char *name, void *argument);

/* An ioctl that may not fail: the line would name it. */
#define KVM_CALL(fd, request, argument) \
	kvm_call(fd, request, #request, (void *)(uintptr_t)(argument))

/* file.c */
struct image {
	u8 *data;
	size_t size;
};

u8 *read_file(const char *path, const char *what, size_t start,
	      u64 (*limit)(const char *path, const struct image *file,
			   const void *data), const void *data, size_t *size);

/* vm.c */
void vm_create(struct vm *vm, const struct options *options);
void *vm_memory(const struct vm *vm, u64 address, u64 size);
u64 vm_low_memory(const struct vm *vm);
u64 vm_high_memory(const struct vm *vm);
void vm_interrupt(struct vm *vm, int line, bool level);
bool vm_end(struct vm *vm, int status);
void vm_wake_console(struct vm *vm);
void vm_mark_user_space(struct vm *vm);
u64 now_nanoseconds(void);

/* vcpu.c */
void vcpus_create(struct vm *vm);
void vcpus_start(struct vm *vm);
void vcpus_stop(struct vm *vm);
void print_crash(const struct ending *ending);

/* cpuid.c */
void cpuid_set(struct vm *vm);

/* private.c */
int private_create_vm(struct vm *vm);
void private_map_memory(struct vm *vm, void *where);
void private_add_slot(struct vm *vm, int slot, u64 address, u64 offset,
		      u64 size);
void private_hypercall(struct vm *vm, struct kvm_run *run);
bool private_fault(struct vcpu *vcpu);

/* boot.c */
void boot_read(const struct options *options, struct image *kernel,
	       struct image *initrd);
void boot_load(struct vm *vm, const struct image *kernel,
	       const struct image *initrd);

/* acpi.c */
void acpi_build(struct vm *vm);
u32 acpi_read(struct vm *vm, u16 port);
void acpi_write(struct vm *vm, u16 port, u32 value);

/* serial.c */
void serial_init(struct serial *serial);
u8 serial_read(struct vm *vm, u16 port);
void serial_write(struct vm *vm, u16 port, u8 value);
unsigned int serial_room(struct serial *serial);
void serial_receive(struct vm *vm, const u8 *data, unsigned int count);

/* ports.c */
void ports_access(struct vm *vm, struct kvm_run *run);

/* console.c */
void console_start(void);
void console_run(struct vm *vm);
void console_write(struct vm *vm, u8 byte);
void console_restore(void);
void console_keep_fatal(sigset_t *set);

/* stats.c */
void stats_open(struct vm *vm);
void stats_take(struct vm *vm, struct stats_sample *sample);
void stats_print(const struct vm *vm);

#endif /* VMM_H */
