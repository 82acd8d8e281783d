// SPDX-License-Identifier: GPL-2.0
/*
 * Accesses where no memslot is: each comes to user space, and the MMU remembers
 * the page for as long as the memslots stay as they are.
 */
#include <unistd.h>

#include "altmmu_fixture.h"

#define NR_PAGES	8
#define TEST_SIZE	(NR_PAGES * PAGE_SIZE)

static struct kvm_vcpu *create_vcpu(u64 mmu)
{
	struct kvm_vcpu *vcpu;

	mmu_create_with_vcpus(mmu, 1, guest_touch, &vcpu);
	virt_map(vcpu->vm, TEST_GPA, TEST_GPA, NR_PAGES);
	return vcpu;
}

/* Have the guest read each page; returns how often it came to user space. */
static u64 count_exits(struct kvm_vcpu *vcpu)
{
	struct guest_control *control = host_control(vcpu->vm);
	struct kvm_run *run = vcpu->run;
	u64 exits = 0;

	control->start = TEST_GPA;
	control->nr_pages = NR_PAGES;
	for (;; exits++) {
		vcpu_run(vcpu);
		if (run->exit_reason != KVM_EXIT_MMIO)
			break;
		TEST_ASSERT_EQ(run->mmio.phys_addr,
			       TEST_GPA + exits * PAGE_SIZE);
		TEST_ASSERT_EQ(run->mmio.len, sizeof(u64));
		TEST_ASSERT_EQ(run->mmio.is_write, 0);
	}
	TEST_ASSERT_EQ(get_ucall(vcpu, NULL), UCALL_SYNC);
	return exits;
}

/* How many entries a pass makes when none is there that holds. */
static u64 new_entries(void)
{
	return get_kvm_param_bool("mmio_caching") ? NR_PAGES : 0;
}

static void *add_slot(struct kvm_vm *vm, u64 gpa, u32 slot)
{
	vm_userspace_mem_region_add(vm, VM_MEM_SRC_ANONYMOUS, gpa, slot,
				    NR_PAGES, 0);
	return addr_gpa2hva(vm, gpa);
}

TEST_F(mmu, every_access_exits)
{
	struct kvm_vcpu *vcpu = create_vcpu(variant->mmu);

	self->vm = vcpu->vm;
	for (int i = 0; i < 4; i++)
		EXPECT_EQ(NR_PAGES, count_exits(vcpu));
}

TEST_F(mmu, remembered)
{
	struct kvm_vcpu *vcpu = create_vcpu(variant->mmu);

	self->vm = vcpu->vm;
	for (int i = 0; i < 4; i++) {
		count_exits(vcpu);
		EXPECT_EQ(new_entries(),
			  vcpu_get_stat(vcpu, pf_mmio_spte_created));
	}
}

/* Such an entry is no page, but the tables are there for it. */
TEST_F(mmu, not_counted_as_page)
{
	struct kvm_vcpu *vcpu = create_vcpu(variant->mmu);
	u64 pages;

	self->vm = vcpu->vm;
	count_exits(vcpu);
	pages = vm_get_stat(self->vm, pages_4k);
	add_slot(self->vm, TEST_GPA, TEST_SLOT);
	EXPECT_EQ(0, count_exits(vcpu));
	EXPECT_EQ(pages + NR_PAGES, vm_get_stat(self->vm, pages_4k));
}

/* Any update of the memslots makes entries worthless: they are made anew. */
TEST_F(mmu, forgotten_with_the_generation)
{
	struct kvm_vcpu *vcpu = create_vcpu(variant->mmu);

	self->vm = vcpu->vm;
	count_exits(vcpu);
	add_slot(self->vm, TEST_GPA + SZ_1G, TEST_SLOT);
	for (int i = 0; i < 2; i++) {
		EXPECT_EQ(NR_PAGES, count_exits(vcpu));
		EXPECT_EQ(2 * new_entries(),
			  vcpu_get_stat(vcpu, pf_mmio_spte_created));
	}
}

/*
 * After 2^18 updates a generation comes again, and nothing that is left of the
 * last time may count.  A debug kernel does it at once.
 */
TEST_F(mmu, forgotten_when_generations_wrap)
{
	struct kvm_vcpu *vcpu = create_vcpu(variant->mmu);
	char path[128];

	self->vm = vcpu->vm;
	snprintf(path, sizeof(path), "/sys/kernel/debug/kvm/%d-%d/altmmu/wrap_mmio",
		 getpid(), self->vm->fd);
	if (access(path, W_OK))
		SKIP(return, "neither altmmu nor CONFIG_KVM_PROVE_MMU");

	count_exits(vcpu);
	ASSERT_TRUE(write_file(path, "1"));
	for (int i = 0; i < 2; i++) {
		EXPECT_EQ(NR_PAGES, count_exits(vcpu));
		EXPECT_EQ(2 * new_entries(),
			  vcpu_get_stat(vcpu, pf_mmio_spte_created));
	}
}

TEST_F(mmu, becomes_memory_and_back)
{
	struct kvm_vcpu *vcpu = create_vcpu(variant->mmu);

	self->vm = vcpu->vm;
	for (int i = 0; i < 4; i++) {
		EXPECT_EQ(NR_PAGES, count_exits(vcpu));
		add_slot(self->vm, TEST_GPA, TEST_SLOT);
		EXPECT_EQ(0, count_exits(vcpu));
		vm_mem_region_delete(self->vm, TEST_SLOT);
	}
}

static void guest_write_and_read(void)
{
	for (u64 page = 0; page < NR_PAGES; page++) {
		u64 *p = (u64 *)(TEST_GPA + page * PAGE_SIZE + 8);

		WRITE_ONCE(*p, MMIO_DATA + page);
		GUEST_ASSERT_EQ(READ_ONCE(*p), page);
	}
	GUEST_SYNC(0);
}

TEST_F(mmu, values)
{
	struct kvm_vcpu *vcpu = create_vcpu(variant->mmu);
	struct kvm_run *run = vcpu->run;

	self->vm = vcpu->vm;
	vcpu_arch_set_entry_point(vcpu, guest_write_and_read);
	for (u64 page = 0; page < NR_PAGES; page++) {
		const u64 gpa = TEST_GPA + page * PAGE_SIZE + 8;

		vcpu_run(vcpu);
		TEST_ASSERT_KVM_EXIT_REASON(vcpu, KVM_EXIT_MMIO);
		EXPECT_EQ(1, run->mmio.is_write);
		EXPECT_EQ(gpa, run->mmio.phys_addr);
		EXPECT_EQ(MMIO_DATA + page, *(u64 *)run->mmio.data);

		vcpu_run(vcpu);
		TEST_ASSERT_KVM_EXIT_REASON(vcpu, KVM_EXIT_MMIO);
		EXPECT_EQ(0, run->mmio.is_write);
		EXPECT_EQ(gpa, run->mmio.phys_addr);
		memcpy(run->mmio.data, &page, sizeof(page));
	}
	run_until_sync(vcpu);
}

/* Writes to a read-only slot are accesses of this kind, its reads are not. */
TEST_F(mmu, readonly_slot)
{
	struct kvm_vcpu *vcpu = create_vcpu(variant->mmu);
	struct kvm_run *run = vcpu->run;
	u64 *mem;

	self->vm = vcpu->vm;
	vm_userspace_mem_region_add(self->vm, VM_MEM_SRC_ANONYMOUS, TEST_GPA,
				    TEST_SLOT, NR_PAGES, KVM_MEM_READONLY);
	mem = addr_gpa2hva(self->vm, TEST_GPA);
	vcpu_arch_set_entry_point(vcpu, guest_write_and_read);
	for (u64 page = 0; page < NR_PAGES; page++) {
		u64 *word = mem + (page * PAGE_SIZE + 8) / sizeof(u64);

		WRITE_ONCE(*word, page);
		vcpu_run(vcpu);
		TEST_ASSERT_KVM_EXIT_REASON(vcpu, KVM_EXIT_MMIO);
		EXPECT_EQ(1, run->mmio.is_write);
		EXPECT_EQ(MMIO_DATA + page, *(u64 *)run->mmio.data);
		EXPECT_EQ(page, READ_ONCE(*word));
	}
	run_until_sync(vcpu);
}

int main(int argc, char *argv[])
{
	mmu_require_altmmu();
	return test_harness_run(argc, argv);
}
