// SPDX-License-Identifier: GPL-2.0
/*
 * What each vCPU says about itself: all that KVM supports, and a place in one
 * package of as many cores as there are vCPUs.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm.h"

#define CPUID_1_EDX_HTT		BIT(28)
#define CPUID_1_ECX_DEADLINE	BIT(24)

/* Leaves that describe topology, and how many levels we describe. */
#define TOPOLOGY_LEAF		0xb
#define TOPOLOGY_LEAF_V2	0x1f
#define TOPOLOGY_LEAF_AMD	0x80000026
#define TOPOLOGY_SMT		1
#define TOPOLOGY_CORE		2

static struct kvm_cpuid2 *get_supported(struct vm *vm, u32 *room)
{
	struct kvm_cpuid2 *cpuid;

	for (*room = 64; ; *room *= 2) {
		cpuid = calloc(1, sizeof(*cpuid) +
			       *room * sizeof(cpuid->entries[0]));
		if (!cpuid)
			die("no memory for CPUID");
		cpuid->nent = *room;
		if (!ioctl(vm->device, KVM_GET_SUPPORTED_CPUID, cpuid))
			return cpuid;
		if (errno != E2BIG)
			die_errno("KVM_GET_SUPPORTED_CPUID");
		free(cpuid);
	}
}

/* Bits of an APIC ID that tell one core from another. */
static u32 core_bits(const struct vm *vm)
{
	u32 bits = 0;

	while (1 << bits < vm->cpus)
		bits++;
	return bits;
}

static void adjust(struct vm *vm, struct kvm_cpuid_entry2 *entry, u32 id)
{
	u32 cores = vm->cpus, bits = core_bits(vm);

	switch (entry->function) {
	case 1:
		entry->ebx = (entry->ebx & 0xffff) | cores << 16 | id << 24;
		entry->edx &= ~CPUID_1_EDX_HTT;
		if (cores > 1)
			entry->edx |= CPUID_1_EDX_HTT;
		if (ioctl(vm->device, KVM_CHECK_EXTENSION,
			  KVM_CAP_TSC_DEADLINE_TIMER) > 0)
			entry->ecx |= CPUID_1_ECX_DEADLINE;
		break;
	case 4:
		/* Every core has its own caches. */
		entry->eax &= 0x3fff;
		if (entry->eax)
			entry->eax |= ((1U << bits) - 1) << 26;
		break;
	case TOPOLOGY_LEAF:
		entry->edx = id;
		entry->ecx = entry->index;
		if (entry->index == 0) {
			entry->eax = 0;
			entry->ebx = 1;
			entry->ecx |= TOPOLOGY_SMT << 8;
		} else if (entry->index == 1) {
			entry->eax = bits;
			entry->ebx = cores;
			entry->ecx |= TOPOLOGY_CORE << 8;
		}
		break;
	case 0x80000008:
		entry->ecx = (cores - 1) | bits << 12;
		break;
	case 0x8000001d:
		entry->eax &= 0x3fff;
		break;
	case 0x8000001e:
		entry->eax = id;
		entry->ebx = id;
		entry->ecx = 0;
		break;
	}
}

/* Leave out the host's topology, and have an entry for each level of ours. */
static void replace_topology(struct kvm_cpuid2 *cpuid, u32 room)
{
	u32 i, kept = 0, last = 0;

	for (i = 0; i < cpuid->nent; i++) {
		u32 function = cpuid->entries[i].function;

		if (function == 0)
			last = cpuid->entries[i].eax;
		if (function == TOPOLOGY_LEAF || function == TOPOLOGY_LEAF_V2 ||
		    function == TOPOLOGY_LEAF_AMD)
			continue;
		cpuid->entries[kept++] = cpuid->entries[i];
	}
	for (i = 0; i < 3 && last >= TOPOLOGY_LEAF && kept < room; i++)
		cpuid->entries[kept++] = (struct kvm_cpuid_entry2) {
			.function = TOPOLOGY_LEAF,
			.index = i,
			.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
		};
	cpuid->nent = kept;
}

/*
 * The guest's memory must be addressable, and where some of it may be shared and
 * some not, below the bit that says so, which must be addressable, too.
 */
static void check_address_width(struct vm *vm, const struct kvm_cpuid2 *cpuid)
{
	u64 end = vm_high_memory(vm) ? vm_high_memory(vm) + 4 * GIB : 0;
	u32 bit = vm->shared_bit;
	u32 i;

	for (i = 0; i < cpuid->nent; i++) {
		u32 width = cpuid->entries[i].eax & 0xff;

		if (cpuid->entries[i].function != 0x80000008)
			continue;
		if (width < 64 && end > 1ULL << width)
			die("--memory: this CPU has only %u address bits",
			    width);
		if (bit && width <= bit)
			die("--private: guests have %u address bits here, the shared bit is %u",
			    width, bit);
		if (bit && end > 1ULL << bit)
			die("--private --memory: private memory ends at %llu GiB",
			    (1ULL << bit) / GIB);
	}
}

void cpuid_set(struct vm *vm)
{
	struct kvm_cpuid2 *cpuid;
	u32 entry, room;
	int i;

	cpuid = get_supported(vm, &room);
	check_address_width(vm, cpuid);
	replace_topology(cpuid, room);
	for (i = 0; i < vm->cpus; i++) {
		for (entry = 0; entry < cpuid->nent; entry++)
			adjust(vm, &cpuid->entries[entry], i);
		KVM_CALL(vm->vcpus[i].fd, KVM_SET_CPUID2, cpuid);
	}
	free(cpuid);
}
