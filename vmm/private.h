/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What private memory takes of KVM's interface and older <linux/kvm.h> lack.
 */
#ifndef PRIVATE_H
#define PRIVATE_H

#include <linux/kvm.h>
#include <linux/kvm_para.h>

#include "vmm.h"

#ifndef KVM_CAP_VM_TYPES
#define KVM_CAP_VM_TYPES	235
#endif

#ifndef KVM_CAP_EXIT_HYPERCALL
#define KVM_CAP_EXIT_HYPERCALL	201
#endif

#ifndef KVM_MAP_GPA_RANGE_ENCRYPTED
#define KVM_MAP_GPA_RANGE_ENCRYPTED	BIT(4)
#endif

#ifndef KVM_SET_USER_MEMORY_REGION2
#define KVM_MEM_GUEST_MEMFD	BIT(2)

struct kvm_userspace_memory_region2 {
	u32 slot;
	u32 flags;
	u64 guest_phys_addr;
	u64 memory_size;
	u64 userspace_addr;
	u64 guest_memfd_offset;
	u32 guest_memfd;
	u32 pad1;
	u64 pad2[14];
};

#define KVM_SET_USER_MEMORY_REGION2 \
	_IOW(KVMIO, 0x49, struct kvm_userspace_memory_region2)
#endif

#ifndef KVM_SET_MEMORY_ATTRIBUTES
#define KVM_MEMORY_ATTRIBUTE_PRIVATE	BIT(3)

struct kvm_memory_attributes {
	u64 address;
	u64 size;
	u64 attributes;
	u64 flags;
};

#define KVM_SET_MEMORY_ATTRIBUTES \
	_IOW(KVMIO, 0xd2, struct kvm_memory_attributes)
#endif

#ifndef KVM_CREATE_GUEST_MEMFD
struct kvm_create_guest_memfd {
	u64 size;
	u64 flags;
	u64 reserved[6];
};

#define KVM_CREATE_GUEST_MEMFD \
	_IOWR(KVMIO, 0xd4, struct kvm_create_guest_memfd)
#endif

#ifndef KVM_CAP_GUEST_MEMFD_FLAGS
#define KVM_CAP_GUEST_MEMFD_FLAGS	244
#define GUEST_MEMFD_FLAG_MMAP		BIT(0)
#define GUEST_MEMFD_FLAG_INIT_SHARED	BIT(1)
#endif

#ifndef KVM_EXIT_MEMORY_FAULT
#define KVM_EXIT_MEMORY_FAULT		39
#define KVM_MEMORY_EXIT_FLAG_PRIVATE	BIT(3)
#endif

/* What kvm_run has for it; older headers don't name the member. */
struct memory_fault {
	u64 flags;
	u64 gpa;
	u64 size;
};

/*
 * A VM whose private page tables are KVM's own software.  Experimental, hence
 * numbers far from those that are given out.
 */
#ifndef KVM_X86_SOFT_MIRROR_VM
#define KVM_X86_SOFT_MIRROR_VM		30
#endif

#ifndef KVM_CAP_X86_SOFT_MIRROR
#define KVM_CAP_X86_SOFT_MIRROR		0x414d4d56
#define KVM_X86_SOFT_MIRROR_AUTO_ACCEPT	BIT(0)
#endif

#endif /* PRIVATE_H */
