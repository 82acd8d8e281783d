// SPDX-License-Identifier: GPL-2.0
/*
 * The VM: which MMU it has, its memory, its interrupt controllers, its end.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "layout.h"
#include "vmm.h"

#define HUGE_PAGE	(2 * MIB)

u64 now_nanoseconds(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000ULL + time.tv_nsec;
}

static void need(struct vm *vm, int capability, const char *name)
{
	if (ioctl(vm->device, KVM_CHECK_EXTENSION, capability) <= 0)
		die("this host's KVM lacks %s", name);
}

static void open_device(struct vm *vm)
{
	const char *path = vm->options->device;
	int version;

	vm->device = open(path, O_RDWR | O_CLOEXEC);
	if (vm->device < 0)
		die_errno("%s", path);
	version = ioctl(vm->device, KVM_GET_API_VERSION, 0);
	if (version < 0)
		die_errno("%s is not a KVM device: KVM_GET_API_VERSION", path);
	if (version != KVM_API_VERSION)
		die("%s has KVM's API version %d, not %d", path, version,
		    KVM_API_VERSION);
	need(vm, KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY");
	need(vm, KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP");
	need(vm, KVM_CAP_PIT2, "KVM_CAP_PIT2");
	need(vm, KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT");
}

/* What the host gives to those who don't ask. */
static int default_mmu(int mask)
{
	char name[16] = "";
	FILE *file;
	int mmu;

	file = fopen("/sys/module/kvm/parameters/mmu", "re");
	if (!file)
		return KVM_X86_MMU_KVM;
	if (fscanf(file, "%15s", name) != 1)
		name[0] = 0;
	fclose(file);
	for (mmu = KVM_X86_MMU_KVM; mmu <= KVM_X86_MMU_ALTMMU; mmu++)
		if (!strcmp(name, mmu_names[mmu]) && mask & 1 << mmu)
			return mmu;
	return KVM_X86_MMU_KVM;
}

static void select_mmu(struct vm *vm)
{
	struct kvm_enable_cap select = { .cap = KVM_CAP_X86_MMU };
	int mask, mmu = vm->options->mmu;

	mask = ioctl(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_X86_MMU);
	if (mask < 0)
		mask = 0;
	if (mmu == MMU_DEFAULT && vm->options->private) {
		/* It comes with the type. */
		vm->mmu = KVM_X86_MMU_ALTMMU;
		return;
	}
	if (mmu == MMU_DEFAULT) {
		vm->mmu = default_mmu(mask);
		return;
	}
	vm->mmu = mmu;
	if (!mask && mmu == KVM_X86_MMU_KVM)
		return;
	if (!(mask & 1 << mmu))
		die("--mmu %s: this host's KVM %s", mmu_names[mmu],
		    mask ? "does not offer it here" :
			   "has only one MMU (no KVM_CAP_X86_MMU)");
	select.args[0] = mmu;
	if (ioctl(vm->fd, KVM_ENABLE_CAP, &select) < 0)
		die_errno("--mmu %s: KVM_ENABLE_CAP", mmu_names[mmu]);
}

u64 vm_low_memory(const struct vm *vm)
{
	u64 size = vm->options->memory;

	return size < HOLE_START ? size : HOLE_START;
}

u64 vm_high_memory(const struct vm *vm)
{
	return vm->options->memory - vm_low_memory(vm);
}

/**
 * vm_memory - where the VMM finds guest memory
 * @vm: the VM
 * @address: guest-physical, below the hole
 * @size: bytes
 *
 * Return: where it is, or NULL if there is no such memory.
 */
void *vm_memory(const struct vm *vm, u64 address, u64 size)
{
	u64 low = vm_low_memory(vm);

	if (address > low || size > low - address)
		return NULL;
	return vm->memory + address;
}

/*
 * Memory begins at a multiple of what a huge page has, so that what is huge in
 * the host can be huge in the guest.
 */
static void map_memory(struct vm *vm)
{
	const char *backing = backing_names[vm->options->backing];
	int flags = MAP_PRIVATE | MAP_ANONYMOUS, fd = -1;
	u64 size = vm->options->memory;
	u8 *space;

	space = mmap(NULL, size + HUGE_PAGE, PROT_NONE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (space == MAP_FAILED)
		die_errno("no room for %llu MiB of memory", size / MIB);
	space += -(uintptr_t)space % HUGE_PAGE;

	if (vm->options->private) {
		private_map_memory(vm, space);
		return;
	}
	if (vm->options->backing == BACKING_HUGETLB) {
		if (size % HUGE_PAGE)
			die("--backing hugetlb: memory is not a multiple of 2M");
		flags |= MAP_HUGETLB | 21 << MAP_HUGE_SHIFT;
	} else if (vm->options->backing == BACKING_MEMFD) {
		fd = memfd_create("guest memory", MFD_CLOEXEC);
		if (fd < 0 || ftruncate(fd, size))
			die_errno("--backing memfd");
		flags = MAP_SHARED;
	}
	vm->memory = mmap(space, size, PROT_READ | PROT_WRITE,
			  flags | MAP_FIXED, fd, 0);
	if (vm->memory == MAP_FAILED) {
		if (vm->options->backing == BACKING_HUGETLB && errno == ENOMEM)
			die("--backing hugetlb needs %llu pages in /proc/sys/vm/nr_hugepages",
			    size / HUGE_PAGE);
		die_errno("--backing %s: %llu MiB", backing, size / MIB);
	}
	if (fd >= 0)
		close(fd);
	if (vm->options->backing == BACKING_THP &&
	    madvise(vm->memory, size, MADV_HUGEPAGE))
		die_errno("--backing thp: madvise MADV_HUGEPAGE");
	/* It fails where there are no huge pages: that is what is wanted. */
	if (vm->options->backing == BACKING_ANON)
		madvise(vm->memory, size, MADV_NOHUGEPAGE);
}

static void add_slot(struct vm *vm, int slot, u64 address, u64 offset, u64 size)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.guest_phys_addr = address,
		.memory_size = size,
		.userspace_addr = (uintptr_t)vm->memory + offset,
	};

	if (!size)
		return;
	if (vm->options->private)
		private_add_slot(vm, slot, address, offset, size);
	else
		KVM_CALL(vm->fd, KVM_SET_USER_MEMORY_REGION, &region);
}

/**
 * vm_create - make the VM, without vCPUs
 * @vm: all zero
 * @options: what was asked for
 */
void vm_create(struct vm *vm, const struct options *options)
{
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
	u64 identity_map = IDENTITY_MAP_ADDRESS;

	vm->options = options;
	open_device(vm);
	vm->fd = options->private ? private_create_vm(vm) :
				    KVM_CALL(vm->device, KVM_CREATE_VM, 0);
	select_mmu(vm);
	KVM_CALL(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map);
	KVM_CALL(vm->fd, KVM_SET_TSS_ADDR, TSS_ADDRESS);
	KVM_CALL(vm->fd, KVM_CREATE_IRQCHIP, 0);
	KVM_CALL(vm->fd, KVM_CREATE_PIT2, &pit);

	map_memory(vm);
	add_slot(vm, 0, 0, 0, vm_low_memory(vm));
	add_slot(vm, 1, HOLE_END, HOLE_START, vm_high_memory(vm));

	serial_init(&vm->serial);
	vm->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (vm->event < 0)
		die_errno("eventfd");
}

void vm_interrupt(struct vm *vm, int line, bool level)
{
	struct kvm_irq_level irq = { .irq = line, .level = level };

	KVM_CALL(vm->fd, KVM_IRQ_LINE, &irq);
}

void vm_wake_console(struct vm *vm)
{
	u64 one = 1;

	/* It can't fail but when it is full, and then the console is awake. */
	if (write(vm->event, &one, sizeof(one)) < 0 && errno != EAGAIN)
		die_errno("eventfd");
}

/**
 * vm_end - the guest is not to run any more
 * @vm: the VM
 * @status: what the VMM is to exit with
 *
 * Return: true if nobody said so before; the caller may then add to @vm->ending
 * until it lets go of the vCPU.
 */
bool vm_end(struct vm *vm, int status)
{
	bool before = atomic_exchange(&vm->ended, true);

	if (!before) {
		vm->ending.status = status;
		vm_wake_console(vm);
	}
	return !before;
}

void vm_mark_user_space(struct vm *vm)
{
	if (!atomic_exchange(&vm->marked, true))
		stats_take(vm, &vm->at_mark);
}
