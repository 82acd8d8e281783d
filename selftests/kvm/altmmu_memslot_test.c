// SPDX-License-Identifier: GPL-2.0
/*
 * Memslots that go, come and move while vCPUs use them, with a deleted slot
 * taking all of the VM's mappings with it (KVM_X86_QUIRK_SLOT_ZAP_ALL), and its
 * own only.
 *
 * In each phase the guest knows what it must see; between two of them anything
 * goes.
 */
#include "kselftest_harness.h"
#include "altmmu.h"

#define NR_PAGES	16
#define TEST_SIZE	(NR_PAGES * PAGE_SIZE)
#define OTHER_GPA	(TEST_GPA + SZ_1G)

#define NR_ROUNDS	10

enum {
	PHASE_HERE = PHASE_CHANGING + 1,	/* memory at TEST_GPA */
	PHASE_THERE,				/* memory at OTHER_GPA */
	PHASE_NOWHERE,
	PHASE_READONLY,				/* at TEST_GPA, for reading */
};

FIXTURE(memslot) {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpus[TEST_VCPUS];
	struct vcpu_thread threads[TEST_VCPUS];
	u64 *mem;
};

FIXTURE_VARIANT(memslot) {
	u64 mmu;
	bool zap_all;
};

FIXTURE_VARIANT_ADD(memslot, kvm_zap_all) {
	.mmu = KVM_X86_MMU_KVM,
	.zap_all = true,
};

FIXTURE_VARIANT_ADD(memslot, kvm_zap_slot) {
	.mmu = KVM_X86_MMU_KVM,
};

FIXTURE_VARIANT_ADD(memslot, altmmu_zap_all) {
	.mmu = KVM_X86_MMU_ALTMMU,
	.zap_all = true,
};

FIXTURE_VARIANT_ADD(memslot, altmmu_zap_slot) {
	.mmu = KVM_X86_MMU_ALTMMU,
};

FIXTURE_SETUP(memslot)
{
	self->vm = mmu_create_vm(variant->mmu, KVM_X86_DEFAULT_VM);
	if (!variant->zap_all)
		vm_enable_cap(self->vm, KVM_CAP_DISABLE_QUIRKS2,
			      KVM_X86_QUIRK_SLOT_ZAP_ALL);
	mmu_boot_vm(self->vm, TEST_VCPUS, guest_touch, self->vcpus);
	self->mem = kvm_mmap(TEST_SIZE, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1);
	virt_map(self->vm, TEST_GPA, TEST_GPA, NR_PAGES);
	virt_map(self->vm, OTHER_GPA, OTHER_GPA, NR_PAGES);
}

FIXTURE_TEARDOWN(memslot)
{
	kvm_vm_free(self->vm);
	kvm_munmap(self->mem, TEST_SIZE);
}

static void set_slot(struct kvm_vm *vm, u64 gpa, u64 size, u32 flags, void *mem)
{
	vm_set_user_memory_region(vm, TEST_SLOT, flags, gpa, size, mem);
}

/* Guest: the host wants it to keep away from the memory for now. */
static u64 guest_away;

static bool guest_keeps_away(void)
{
	return READ_ONCE(guest_away);
}

static u64 word_of(u64 page)
{
	return 0xabc00000 + page;
}

static void fill_pages(u64 *mem)
{
	for (u64 i = 0; i < NR_PAGES; i++)
		mem[i * PAGE_SIZE / sizeof(u64)] = word_of(i);
}

/* What a page reads as, if the phase was the same all along. */
static void check_page(u64 gpa, u64 page, u64 there)
{
	u64 phase = guest_phase();
	u64 word;

	if (guest_keeps_away())
		return;
	word = READ_ONCE(*(u64 *)(gpa + page * PAGE_SIZE));
	if (phase == PHASE_CHANGING || phase != guest_phase())
		return;
	if (phase == there)
		GUEST_ASSERT_EQ(word, word_of(page));
	else
		GUEST_ASSERT_EQ(word, MMIO_DATA);
}

static void guest_look(u32 vcpu_id)
{
	while (!guest_stopped()) {
		for (u64 page = 0; page < NR_PAGES; page++) {
			check_page(TEST_GPA, page, PHASE_HERE);
			check_page(OTHER_GPA, page, PHASE_THERE);
		}
		guest_end_pass(vcpu_id);
	}
	GUEST_DONE();
}

static void start_guests(FIXTURE_DATA(memslot) * self, void *guest_code)
{
	for (int i = 0; i < TEST_VCPUS; i++)
		vcpu_arch_set_entry_point(self->vcpus[i], guest_code);
	vcpu_threads_start(self->threads, self->vcpus, TEST_VCPUS);
}

/*
 * Make or move a slot.  KVM's own MMU warns when a vCPU's fault that found no slot meets
 * the page of one that has come since, so vCPUs stay away from it meanwhile.
 */
static void place_slot(FIXTURE_DATA(memslot) * self, u64 mmu, u64 gpa, u32 flags)
{
	u64 *away = host_pointer(self->vm, &guest_away);

	if (mmu == KVM_X86_MMU_KVM) {
		WRITE_ONCE(*away, 1);
		vcpu_threads_wait_passes(self->threads, TEST_VCPUS);
	}
	set_slot(self->vm, gpa, TEST_SIZE, flags, self->mem);
	WRITE_ONCE(*away, 0);
}

static void enter_phase(FIXTURE_DATA(memslot) * self, u64 phase)
{
	set_phase(self->vm, phase);
	vcpu_threads_wait_passes(self->threads, TEST_VCPUS);
	set_phase(self->vm, PHASE_CHANGING);
}

TEST_F_TIMEOUT(memslot, delete, TEST_TIMEOUT_LONG)
{
	fill_pages(self->mem);
	start_guests(self, guest_look);
	for (int i = 0; i < NR_ROUNDS; i++) {
		place_slot(self, variant->mmu, TEST_GPA, 0);
		enter_phase(self, PHASE_HERE);
		set_slot(self->vm, TEST_GPA, 0, 0, self->mem);
		enter_phase(self, PHASE_NOWHERE);
	}
	vcpu_threads_stop(self->threads, TEST_VCPUS);
}

TEST_F_TIMEOUT(memslot, move, TEST_TIMEOUT_LONG)
{
	fill_pages(self->mem);
	start_guests(self, guest_look);
	for (int i = 0; i < NR_ROUNDS; i++) {
		place_slot(self, variant->mmu, TEST_GPA, 0);
		enter_phase(self, PHASE_HERE);
		place_slot(self, variant->mmu, OTHER_GPA, 0);
		enter_phase(self, PHASE_THERE);
	}
	vcpu_threads_stop(self->threads, TEST_VCPUS);
}

/* Write to every page, and see the write unless the page is read-only. */
static void guest_write(u32 vcpu_id)
{
	u64 count = 0;

	while (!guest_stopped()) {
		count++;
		for (u64 page = 0; page < NR_PAGES; page++) {
			u64 *p = (u64 *)(TEST_GPA + page * PAGE_SIZE) + vcpu_id;
			u64 phase = guest_phase(), old, new;

			if (guest_keeps_away())
				break;
			old = READ_ONCE(*p);
			WRITE_ONCE(*p, count);
			new = READ_ONCE(*p);
			if (phase != guest_phase())
				continue;
			if (phase == PHASE_READONLY)
				GUEST_ASSERT_EQ(new, old);
			if (phase == PHASE_HERE)
				GUEST_ASSERT_EQ(new, count);
		}
		guest_end_pass(vcpu_id);
	}
	GUEST_DONE();
}

/* A slot can't become read-only, but it can come back so. */
TEST_F_TIMEOUT(memslot, readonly, TEST_TIMEOUT_LONG)
{
	void *before = malloc(TEST_SIZE);

	ASSERT_NE(NULL, before);
	start_guests(self, guest_write);
	for (int i = 0; i < NR_ROUNDS; i++) {
		place_slot(self, variant->mmu, TEST_GPA, 0);
		enter_phase(self, PHASE_HERE);
		set_slot(self->vm, TEST_GPA, 0, 0, self->mem);

		memcpy(before, self->mem, TEST_SIZE);
		place_slot(self, variant->mmu, TEST_GPA, KVM_MEM_READONLY);
		enter_phase(self, PHASE_READONLY);
		EXPECT_EQ(0, memcmp(before, self->mem, TEST_SIZE));
		set_slot(self->vm, TEST_GPA, 0, 0, self->mem);
	}
	vcpu_threads_stop(self->threads, TEST_VCPUS);
	free(before);
}

/* Count in every page, and find there what was left. */
static void guest_count(u32 vcpu_id)
{
	u64 count = 0;

	for (; !guest_stopped(); count++) {
		for (u64 page = 0; page < NR_PAGES; page++) {
			u64 *p = (u64 *)(TEST_GPA + page * PAGE_SIZE) + vcpu_id;

			GUEST_ASSERT_EQ(READ_ONCE(*p), count);
			WRITE_ONCE(*p, count + 1);
		}
		guest_end_pass(vcpu_id);
	}
	GUEST_DONE();
}

/* Dirty logging on and off takes no memory and no write away. */
TEST_F_TIMEOUT(memslot, log, TEST_TIMEOUT_LONG)
{
	set_slot(self->vm, TEST_GPA, TEST_SIZE, 0, self->mem);
	start_guests(self, guest_count);
	for (int i = 0; i < 2 * NR_ROUNDS; i++) {
		set_slot(self->vm, TEST_GPA, TEST_SIZE, KVM_MEM_LOG_DIRTY_PAGES,
			 self->mem);
		vcpu_threads_wait_passes(self->threads, TEST_VCPUS);
		set_slot(self->vm, TEST_GPA, TEST_SIZE, 0, self->mem);
		vcpu_threads_wait_passes(self->threads, TEST_VCPUS);
	}
	vcpu_threads_stop(self->threads, TEST_VCPUS);
}

/* Slots next to one that goes and comes are none of its business. */
TEST_F_TIMEOUT(memslot, neighbour, TEST_TIMEOUT_LONG)
{
	void *mem = kvm_mmap(PAGE_SIZE, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1);

	set_slot(self->vm, TEST_GPA, TEST_SIZE, 0, self->mem);
	start_guests(self, guest_count);
	for (int i = 0; i < NR_ROUNDS; i++) {
		vm_set_user_memory_region(self->vm, TEST_SLOT + 1, 0,
					  TEST_GPA + TEST_SIZE, PAGE_SIZE, mem);
		vcpu_threads_wait_passes(self->threads, TEST_VCPUS);
		vm_set_user_memory_region(self->vm, TEST_SLOT + 1, 0,
					  TEST_GPA + TEST_SIZE, 0, mem);
		vcpu_threads_wait_passes(self->threads, TEST_VCPUS);
	}
	vcpu_threads_stop(self->threads, TEST_VCPUS);
	kvm_munmap(mem, PAGE_SIZE);
}

/* How much a deleted slot takes with it. */
TEST_F(memslot, zaps)
{
	u64 before;

	set_slot(self->vm, TEST_GPA, TEST_SIZE, 0, self->mem);
	touch_memory(self->vcpus[0], TEST_GPA, TEST_SIZE, true);
	before = vm_get_stat(self->vm, pages_4k);
	ASSERT_LT(NR_PAGES, before);

	set_slot(self->vm, TEST_GPA, 0, 0, self->mem);
	EXPECT_EQ(variant->zap_all ? 0 : before - NR_PAGES,
		  vm_get_stat(self->vm, pages_4k));
}

/*
 * Memory that two slots have goes from both at once.  While altmmu unmaps the second
 * it may drop the lock, and must not owe the flush for the first then.
 */
TEST_F(memslot, two_slots)
{
	u64 before;

	set_slot(self->vm, TEST_GPA, TEST_SIZE, 0, self->mem);
	vm_set_user_memory_region(self->vm, TEST_SLOT + 1, 0, OTHER_GPA,
				  TEST_SIZE, self->mem);
	touch_memory(self->vcpus[0], TEST_GPA, TEST_SIZE, true);
	touch_memory(self->vcpus[0], OTHER_GPA, TEST_SIZE, true);
	before = vm_get_stat(self->vm, remote_tlb_flush_requests);

	ASSERT_EQ(0, madvise(self->mem, TEST_SIZE, MADV_DONTNEED));
	EXPECT_LE(before + (variant->mmu == KVM_X86_MMU_ALTMMU ? 2 : 1),
		  vm_get_stat(self->vm, remote_tlb_flush_requests));
	touch_memory(self->vcpus[0], TEST_GPA, TEST_SIZE, true);
	EXPECT_EQ(1, self->mem[0]);
}

int main(int argc, char *argv[])
{
	mmu_require_altmmu();
	return test_harness_run(argc, argv);
}
