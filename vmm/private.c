// SPDX-License-Identifier: GPL-2.0
/*
 * --private: a VM with page tables of their own for private memory, kept by KVM
 * in software, and all of the guest's memory private.
 *
 * One guest_memfd has both faces of each page, so the VMM and KVM find there
 * what the guest has written, and a page that the guest converts keeps what it
 * holds.  Nothing is hidden from the host: this is for development.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "layout.h"
#include "private.h"

/*
 * Conversions that one vCPU asks for with nothing in between, by using the same
 * page.  More of them lead nowhere.
 */
#define FAULTS_IN_A_ROW		1000

/* What the guest gets for a hypercall. */
#define HYPERCALL_EINVAL	(-22LL)

static int check_extension(int fd, int capability)
{
	return ioctl(fd, KVM_CHECK_EXTENSION, capability);
}

/**
 * private_create_vm - make a VM that can have private memory
 * @vm: with its device open
 *
 * Return: its file descriptor.
 */
int private_create_vm(struct vm *vm)
{
	struct kvm_enable_cap accept = {
		.cap = KVM_CAP_X86_SOFT_MIRROR,
		.args[1] = KVM_X86_SOFT_MIRROR_AUTO_ACCEPT,
	};
	struct kvm_enable_cap hypercall = {
		.cap = KVM_CAP_EXIT_HYPERCALL,
		.args[0] = BIT(KVM_HC_MAP_GPA_RANGE),
	};
	const int wanted = GUEST_MEMFD_FLAG_MMAP | GUEST_MEMFD_FLAG_INIT_SHARED;
	int types, bit, flags, fd;

	types = check_extension(vm->device, KVM_CAP_VM_TYPES);
	if (types < 0 || !(types & BIT(KVM_X86_SOFT_MIRROR_VM)))
		die("--private: this host's KVM has no VMs of type KVM_X86_SOFT_MIRROR_VM");
	fd = KVM_CALL(vm->device, KVM_CREATE_VM, KVM_X86_SOFT_MIRROR_VM);
	bit = check_extension(fd, KVM_CAP_X86_SOFT_MIRROR);
	if (bit <= 0)
		die("--private: this host's KVM does not say where the shared bit is");
	vm->shared_bit = bit;
	flags = check_extension(fd, KVM_CAP_GUEST_MEMFD_FLAGS);
	if (flags < 0 || (flags & wanted) != wanted)
		die("--private: this host's KVM can't map a guest_memfd for such a VM");
	if (!(check_extension(fd, KVM_CAP_EXIT_HYPERCALL) &
	      BIT(KVM_HC_MAP_GPA_RANGE)))
		die("--private: this host's KVM keeps KVM_HC_MAP_GPA_RANGE to itself");
	if (ioctl(fd, KVM_ENABLE_CAP, &accept) < 0)
		die_errno("--private: KVM_ENABLE_CAP of KVM_CAP_X86_SOFT_MIRROR");
	if (ioctl(fd, KVM_ENABLE_CAP, &hypercall) < 0)
		die_errno("--private: KVM_ENABLE_CAP of KVM_CAP_EXIT_HYPERCALL");
	return fd;
}

/**
 * private_map_memory - get the guest's memory, and map it here
 * @vm: the VM
 * @where: at which address
 */
void private_map_memory(struct vm *vm, void *where)
{
	struct kvm_create_guest_memfd memory = {
		.size = vm->options->memory,
		.flags = GUEST_MEMFD_FLAG_MMAP | GUEST_MEMFD_FLAG_INIT_SHARED,
	};

	vm->guest_memfd = KVM_CALL(vm->fd, KVM_CREATE_GUEST_MEMFD, &memory);
	vm->memory = mmap(where, vm->options->memory, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_FIXED, vm->guest_memfd, 0);
	if (vm->memory == MAP_FAILED)
		die_errno("--private: mapping %llu MiB of a guest_memfd",
			  vm->options->memory / MIB);
}

static void convert(struct vm *vm, u64 address, u64 size, bool private)
{
	struct kvm_memory_attributes attributes = {
		.address = address,
		.size = size,
		.attributes = private ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0,
	};

	while (ioctl(vm->fd, KVM_SET_MEMORY_ATTRIBUTES, &attributes) < 0)
		if (errno != EINTR && errno != EAGAIN)
			die_errno("KVM_SET_MEMORY_ATTRIBUTES of 0x%llx, %llu KiB, %s",
				  address, size / KIB,
				  private ? "private" : "shared");
}

/**
 * private_add_slot - give the guest memory, private
 * @vm: the VM
 * @slot: which slot
 * @address: guest-physical
 * @offset: where it is in vm->memory
 * @size: bytes, not 0
 */
void private_add_slot(struct vm *vm, int slot, u64 address, u64 offset, u64 size)
{
	struct kvm_userspace_memory_region2 region = {
		.slot = slot,
		.flags = KVM_MEM_GUEST_MEMFD,
		.guest_phys_addr = address,
		.memory_size = size,
		.userspace_addr = (uintptr_t)vm->memory + offset,
		.guest_memfd = vm->guest_memfd,
		.guest_memfd_offset = offset,
	};

	KVM_CALL(vm->fd, KVM_SET_USER_MEMORY_REGION2, &region);
	convert(vm, address, size, true);
}

/* Whether all of a range is memory, below the hole or above. */
static bool is_memory(const struct vm *vm, u64 address, u64 size)
{
	u64 high = vm_high_memory(vm);

	if (vm_memory(vm, address, size))
		return true;
	return address >= HOLE_END && address - HOLE_END < high &&
	       size <= high - (address - HOLE_END);
}

/**
 * private_hypercall - the guest wants memory to be private, or shared
 * @vm: the VM
 * @run: of the vCPU, after KVM_EXIT_HYPERCALL
 */
void private_hypercall(struct vm *vm, struct kvm_run *run)
{
	u64 address = run->hypercall.args[0], pages = run->hypercall.args[1];
	bool private = run->hypercall.args[2] & KVM_MAP_GPA_RANGE_ENCRYPTED;

	if (run->hypercall.nr != KVM_HC_MAP_GPA_RANGE || address % 4096 ||
	    !pages || pages > UINT64_MAX / 4096 ||
	    !is_memory(vm, address, pages * 4096)) {
		run->hypercall.ret = HYPERCALL_EINVAL;
		return;
	}
	convert(vm, address, pages * 4096, private);
	run->hypercall.ret = 0;
}

/**
 * private_fault - the guest has used a page in the way that it is not
 * @vcpu: the vCPU, after KVM_EXIT_MEMORY_FAULT
 *
 * Without a word from the guest its use is what counts: the page is converted.
 *
 * Return: false if that can't help.
 */
bool private_fault(struct vcpu *vcpu)
{
	struct memory_fault fault;
	bool private;

	memcpy(&fault, vcpu->run->padding, sizeof(fault));
	private = fault.flags & KVM_MEMORY_EXIT_FLAG_PRIVATE;
	if (vcpu->fault_address != fault.gpa || vcpu->fault_private != private)
		vcpu->faults = 0;
	vcpu->fault_address = fault.gpa;
	vcpu->fault_private = private;
	if (fault.flags & ~KVM_MEMORY_EXIT_FLAG_PRIVATE || !fault.size ||
	    !is_memory(vcpu->vm, fault.gpa, fault.size) ||
	    vcpu->faults++ == FAULTS_IN_A_ROW)
		return false;
	convert(vcpu->vm, fault.gpa, fault.size, private);
	return true;
}
