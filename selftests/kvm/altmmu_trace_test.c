// SPDX-License-Identifier: GPL-2.0
/*
 * What altmmu's tracepoints tell of a VM that is on it, and that those of a VM that
 * is not say nothing.
 */
#include <string.h>
#include <sys/stat.h>

#include "altmmu_fixture.h"

#define NR_PAGES	16
#define TEST_SIZE	(NR_PAGES * PAGE_SIZE)

/* An instance has a buffer of its own, which is empty. */
#define INSTANCE	"/sys/kernel/tracing/instances/altmmu_trace_test"

static void trace_end(void)
{
	write_file(INSTANCE "/events/altmmu/enable", "0");
	rmdir(INSTANCE);
}

static bool trace_begin(void)
{
	/* One may be there still, if this test was killed. */
	trace_end();
	return !mkdir(INSTANCE, 0700) &&
	       write_file(INSTANCE "/events/altmmu/enable", "1");
}

/* How often an event has been since tracing began. */
static u64 events(const char *name)
{
	char line[512], wanted[64];
	u64 count = 0;
	FILE *f;

	f = fopen(INSTANCE "/trace", "r");
	TEST_ASSERT(f, "Can't read the trace");
	snprintf(wanted, sizeof(wanted), " %s: ", name);
	while (fgets(line, sizeof(line), f))
		count += line[0] != '#' && strstr(line, wanted);
	fclose(f);
	return count;
}

/*
 * Whether an event has been @least times since it was @before times, and never if
 * the VM is not @on altmmu.
 */
static bool heard(const char *name, u64 before, u64 least, bool on)
{
	u64 count = events(name);

	return on ? count >= before + least : !count;
}

static bool cpu_logs_pages(void)
{
	return host_cpu_is_intel && get_kvm_intel_param_bool("pml");
}

TEST_F_TIMEOUT(mmu, events, TEST_TIMEOUT_LONG)
{
	const bool on = variant->mmu == KVM_X86_MMU_ALTMMU;
	u64 unmaps, flushes, changes;
	struct kvm_vcpu *vcpu;
	void *mem;

	self->vm = mmu_create_with_vcpus(variant->mmu, 1, guest_touch, &vcpu);
	vm_userspace_mem_region_add(self->vm, VM_MEM_SRC_ANONYMOUS, TEST_GPA,
				    TEST_SLOT, NR_PAGES, 0);
	virt_map(self->vm, TEST_GPA, TEST_GPA, NR_PAGES);
	mem = addr_gpa2hva(self->vm, TEST_GPA);
	if (!trace_begin()) {
		trace_end();
		SKIP(return, "no permission, or no tracing");
	}

	touch_memory(vcpu, TEST_GPA, TEST_SIZE, true);
	EXPECT_TRUE(heard("altmmu_map", 0, NR_PAGES, on));
	EXPECT_TRUE(heard("altmmu_change", 0, NR_PAGES, on));

	/*
	 * What is write-protected to be logged is made writable again.  A CPU that
	 * logs by itself needs no such thing.
	 */
	vm_mem_region_set_flags(self->vm, TEST_SLOT, KVM_MEM_LOG_DIRTY_PAGES);
	touch_memory(vcpu, TEST_GPA, TEST_SIZE, true);
	EXPECT_TRUE(heard("altmmu_fix", 0, cpu_logs_pages() ? 0 : NR_PAGES, on));

	unmaps = events("altmmu_unmap");
	flushes = events("altmmu_flush");
	changes = events("altmmu_change");
	kvm_madvise(mem, TEST_SIZE, MADV_DONTNEED);
	EXPECT_TRUE(heard("altmmu_unmap", unmaps, 1, on));
	EXPECT_TRUE(heard("altmmu_flush", flushes, 1, on));
	EXPECT_TRUE(heard("altmmu_change", changes, NR_PAGES, on));

	vm_mem_region_delete(self->vm, TEST_SLOT);
	EXPECT_TRUE(heard("altmmu_obsolete", 0, 1, on));
	trace_end();
}

int main(int argc, char *argv[])
{
	mmu_require_altmmu();
	return test_harness_run(argc, argv);
}
