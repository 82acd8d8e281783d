// SPDX-License-Identifier: GPL-2.0
/*
 * What the host learns of which pages a guest uses: those that it has used since
 * they were marked idle, and no others.
 */
#include "altmmu_fixture.h"

#define NR_PAGES	64
#define NR_HUGE		2
#define NR_ROUNDS	3
#define MAX_TRIES	10

/*
 * Mark pages, use the first @used of them, and look; @step is from the first gfn of
 * one to that of the next.  False if the host has moved one meanwhile: then what is
 * seen says nothing.
 */
static bool age(struct __test_metadata *_metadata, struct kvm_vcpu *vcpu, int bitmap,
		void *mem, u64 nr, u64 used, u64 step, bool write)
{
	bool was_idle[NR_PAGES], is_idle[NR_PAGES];
	u64 pfns[NR_PAGES];

	ASSERT_TRUE(pages_settle(mem, nr, step, pfns));
	for (u64 i = 0; i < nr; i++)
		idle_mark(bitmap, pfns[i]);
	for (u64 i = 0; i < nr; i++)
		was_idle[i] = idle_is(bitmap, pfns[i]);
	if (used)
		touch_memory(vcpu, TEST_GPA, used * step, write);
	for (u64 i = 0; i < nr; i++)
		is_idle[i] = idle_is(bitmap, pfns[i]);
	if (!pages_stay(mem, nr, step, pfns))
		return false;

	for (u64 i = 0; i < nr; i++) {
		EXPECT_TRUE(was_idle[i]);
		EXPECT_EQ(i >= used, is_idle[i]);
	}
	return true;
}

static void age_none_some_all(struct __test_metadata *_metadata,
			      struct kvm_vcpu *vcpu, void *mem, u64 nr, u64 step,
			      bool write)
{
	int bitmap = idle_open();

	if (bitmap < 0)
		SKIP(return, "no permission, or no CONFIG_IDLE_PAGE_TRACKING");
	for (u64 used = 0; used <= nr; used += nr / 2) {
		int tries = 0;

		do {
			ASSERT_GT(MAX_TRIES, tries++);
			/* What was moved is mapped again. */
			touch_memory(vcpu, TEST_GPA, nr * step, true);
		} while (!age(_metadata, vcpu, bitmap, mem, nr, used, step, write));
	}
	close(bitmap);
}

TEST_F_TIMEOUT(mmu, small, TEST_TIMEOUT_LONG)
{
	struct kvm_vcpu *vcpu;

	self->vm = mmu_create_with_vcpus(variant->mmu, 1, guest_touch, &vcpu);
	vm_userspace_mem_region_add(self->vm, VM_MEM_SRC_ANONYMOUS, TEST_GPA,
				    TEST_SLOT, NR_PAGES, 0);
	virt_map(self->vm, TEST_GPA, TEST_GPA, NR_PAGES);
	touch_memory(vcpu, TEST_GPA, NR_PAGES * PAGE_SIZE, true);
	for (int i = 0; i < NR_ROUNDS; i++)
		age_none_some_all(_metadata, vcpu, addr_gpa2hva(self->vm, TEST_GPA),
				  NR_PAGES, PAGE_SIZE, i % 2);
	EXPECT_LE(NR_PAGES, vm_get_stat(self->vm, pages_4k));
}

TEST_F_TIMEOUT(mmu, huge, TEST_TIMEOUT_LONG)
{
	struct kvm_vcpu *vcpu;
	void *mem;

	self->vm = mmu_create_with_vcpus(variant->mmu, 1, guest_touch, &vcpu);
	mem = add_thp_slot(self->vm, TEST_GPA, TEST_SLOT, NR_HUGE * SZ_2M);
	if (!mem)
		SKIP(return, "the host has no huge pages");
	touch_memory(vcpu, TEST_GPA, NR_HUGE * SZ_2M, true);
	for (int i = 0; i < NR_ROUNDS; i++)
		age_none_some_all(_metadata, vcpu, mem, NR_HUGE, SZ_2M, i % 2);
	EXPECT_EQ(NR_HUGE, vm_get_stat(self->vm, pages_2m));
}

int main(int argc, char *argv[])
{
	mmu_require_altmmu();
	return test_harness_run(argc, argv);
}
