// SPDX-License-Identifier: GPL-2.0
/*
 * Dirty logging, held against a guest that notes what it writes: no write is
 * lost, and nothing else is reported.
 *
 * Each case runs with small and with huge pages, these split eagerly or when
 * they are written to, and with each way to get at the log.
 */
#include <asm/barrier.h>

#include "kselftest_harness.h"
#include "altmmu.h"

#define TEST_SIZE	SZ_4M
#define NR_PAGES	(TEST_SIZE / PAGE_SIZE)
#define NR_HUGE		(TEST_SIZE / SZ_2M)
#define RING_ENTRIES	1024

#define EAGER_PARAM	KVM_PARAM("eager_page_split")

/* How the host gets at the log. */
enum log_mode {
	LOG_GET,	/* KVM_GET_DIRTY_LOG protects again what it reports */
	LOG_CLEAR,	/* KVM_CLEAR_DIRTY_LOG does; all is dirty at first */
	LOG_RING,
};

/* Guest: what it has done in this round. */
static u8 guest_wrote[NR_PAGES];
static u8 guest_read[NR_PAGES];
static u64 guest_seed;
static u64 guest_accesses;

static u64 guest_random(u64 *state)
{
	*state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
	return *state >> 33;
}

/* One write for two reads, at random; a round ends in a GUEST_SYNC(). */
static void guest_access(void)
{
	u64 random = 1;

	for (;;) {
		random ^= guest_seed;
		for (u64 n = 0; n < guest_accesses; n++) {
			u64 r = guest_random(&random);
			u64 page = r % NR_PAGES;
			u64 *p = (u64 *)(TEST_GPA + page * PAGE_SIZE);

			if (guest_random(&random) % 3) {
				READ_ONCE(*p);
				guest_read[page] = 1;
			} else {
				guest_wrote[page] = 1;
				WRITE_ONCE(*p, r);
			}
		}
		GUEST_SYNC(0);
	}
}

/* Write all over the memory until the host says stop. */
static void guest_scribble(u32 vcpu_id)
{
	u64 random = vcpu_id + 1;

	while (!guest_stopped()) {
		for (int n = 0; n < 64; n++) {
			u64 r = guest_random(&random);
			u64 offset = r % TEST_SIZE & ~7ULL;

			WRITE_ONCE(*(u64 *)(TEST_GPA + offset), r);
		}
		guest_end_pass(vcpu_id);
	}
	GUEST_DONE();
}

FIXTURE(dirty_log) {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpus[TEST_VCPUS];
	unsigned long *log;
	void *mem;
};

enum page_mode {
	PAGES_SMALL,
	PAGES_EAGER,	/* huge, and split as soon as they are logged */
	PAGES_LAZY,	/* huge, and split when they are written to */
};

FIXTURE_VARIANT(dirty_log) {
	u64 mmu;
	enum page_mode pages;
	enum log_mode mode;
};

FIXTURE_VARIANT_ADD(dirty_log, kvm_small_get) {
	KVM_X86_MMU_KVM, PAGES_SMALL, LOG_GET,
};

FIXTURE_VARIANT_ADD(dirty_log, kvm_small_clear) {
	KVM_X86_MMU_KVM, PAGES_SMALL, LOG_CLEAR,
};

FIXTURE_VARIANT_ADD(dirty_log, kvm_small_ring) {
	KVM_X86_MMU_KVM, PAGES_SMALL, LOG_RING,
};

FIXTURE_VARIANT_ADD(dirty_log, kvm_eager_get) {
	KVM_X86_MMU_KVM, PAGES_EAGER, LOG_GET,
};

FIXTURE_VARIANT_ADD(dirty_log, kvm_eager_clear) {
	KVM_X86_MMU_KVM, PAGES_EAGER, LOG_CLEAR,
};

FIXTURE_VARIANT_ADD(dirty_log, kvm_eager_ring) {
	KVM_X86_MMU_KVM, PAGES_EAGER, LOG_RING,
};

FIXTURE_VARIANT_ADD(dirty_log, kvm_lazy_get) {
	KVM_X86_MMU_KVM, PAGES_LAZY, LOG_GET,
};

FIXTURE_VARIANT_ADD(dirty_log, kvm_lazy_clear) {
	KVM_X86_MMU_KVM, PAGES_LAZY, LOG_CLEAR,
};

FIXTURE_VARIANT_ADD(dirty_log, kvm_lazy_ring) {
	KVM_X86_MMU_KVM, PAGES_LAZY, LOG_RING,
};

FIXTURE_VARIANT_ADD(dirty_log, altmmu_small_get) {
	KVM_X86_MMU_ALTMMU, PAGES_SMALL, LOG_GET,
};

FIXTURE_VARIANT_ADD(dirty_log, altmmu_small_clear) {
	KVM_X86_MMU_ALTMMU, PAGES_SMALL, LOG_CLEAR,
};

FIXTURE_VARIANT_ADD(dirty_log, altmmu_small_ring) {
	KVM_X86_MMU_ALTMMU, PAGES_SMALL, LOG_RING,
};

FIXTURE_VARIANT_ADD(dirty_log, altmmu_eager_get) {
	KVM_X86_MMU_ALTMMU, PAGES_EAGER, LOG_GET,
};

FIXTURE_VARIANT_ADD(dirty_log, altmmu_eager_clear) {
	KVM_X86_MMU_ALTMMU, PAGES_EAGER, LOG_CLEAR,
};

FIXTURE_VARIANT_ADD(dirty_log, altmmu_eager_ring) {
	KVM_X86_MMU_ALTMMU, PAGES_EAGER, LOG_RING,
};

FIXTURE_VARIANT_ADD(dirty_log, altmmu_lazy_get) {
	KVM_X86_MMU_ALTMMU, PAGES_LAZY, LOG_GET,
};

FIXTURE_VARIANT_ADD(dirty_log, altmmu_lazy_clear) {
	KVM_X86_MMU_ALTMMU, PAGES_LAZY, LOG_CLEAR,
};

FIXTURE_VARIANT_ADD(dirty_log, altmmu_lazy_ring) {
	KVM_X86_MMU_ALTMMU, PAGES_LAZY, LOG_RING,
};

FIXTURE_SETUP(dirty_log)
{
	const unsigned int manual = KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE |
				    KVM_DIRTY_LOG_INITIALLY_SET;

	if (!write_file(EAGER_PARAM, variant->pages == PAGES_LAZY ? "N" : "Y"))
		SKIP(return, "no permission to write " EAGER_PARAM);

	self->vm = mmu_create_vm(variant->mmu, KVM_X86_DEFAULT_VM);
	if (variant->mode == LOG_RING)
		vm_enable_dirty_ring(self->vm, RING_ENTRIES *
				     sizeof(struct kvm_dirty_gfn));
	if (variant->mode == LOG_CLEAR)
		vm_enable_cap(self->vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
			      manual);
	mmu_boot_vm(self->vm, TEST_VCPUS, guest_access, self->vcpus);
	if (variant->mode == LOG_RING)
		for (int i = 0; i < TEST_VCPUS; i++)
			vcpu_map_dirty_ring(self->vcpus[i]);

	if (variant->pages != PAGES_SMALL) {
		self->mem = add_thp_slot(self->vm, TEST_GPA, TEST_SLOT,
					 TEST_SIZE);
		if (!self->mem)
			SKIP(return, "the host has no huge pages");
	} else {
		vm_userspace_mem_region_add(self->vm, VM_MEM_SRC_ANONYMOUS,
					    TEST_GPA, TEST_SLOT, NR_PAGES, 0);
		virt_map(self->vm, TEST_GPA, TEST_GPA, NR_PAGES);
		self->mem = addr_gpa2hva(self->vm, TEST_GPA);
	}
	self->log = calloc(BITS_TO_LONGS(NR_PAGES), sizeof(long));
	ASSERT_NE(NULL, self->log);
}

FIXTURE_TEARDOWN(dirty_log)
{
	kvm_vm_free(self->vm);
	free(self->log);
}

/* Take what is in a vCPU's ring. */
static void drain_ring(struct kvm_vcpu *vcpu, unsigned long *log)
{
	struct kvm_dirty_gfn *gfn;

	for (;; vcpu->fetch_index++) {
		gfn = &vcpu->dirty_gfns[vcpu->fetch_index % RING_ENTRIES];
		/* The rest of the entry is there when KVM says so... */
		if (smp_load_acquire(&gfn->flags) != KVM_DIRTY_GFN_F_DIRTY)
			break;
		TEST_ASSERT(gfn->slot == TEST_SLOT && gfn->offset < NR_PAGES,
			    "slot %u, page %llu in the ring", gfn->slot,
			    gfn->offset);
		__set_bit(gfn->offset, log);
		/* ...and KVM's again when it has been read. */
		smp_store_release(&gfn->flags, KVM_DIRTY_GFN_F_RESET);
	}
}

/* Take the log: from then on the same pages are reported again if written. */
static void take_log(struct kvm_vm *vm, struct kvm_vcpu *vcpus[],
		     enum log_mode mode, unsigned long *log)
{
	memset(log, 0, NR_PAGES / 8);
	switch (mode) {
	case LOG_CLEAR:
		kvm_vm_get_dirty_log(vm, TEST_SLOT, log);
		kvm_vm_clear_dirty_log(vm, TEST_SLOT, log, 0, NR_PAGES);
		break;
	case LOG_GET:
		kvm_vm_get_dirty_log(vm, TEST_SLOT, log);
		break;
	case LOG_RING:
		for (int i = 0; i < TEST_VCPUS; i++)
			drain_ring(vcpus[i], log);
		kvm_vm_reset_dirty_ring(vm);
		break;
	}
}

static void start_log(struct kvm_vm *vm)
{
	vm_mem_region_set_flags(vm, TEST_SLOT, KVM_MEM_LOG_DIRTY_PAGES);
}

static void stop_log(struct kvm_vm *vm)
{
	vm_mem_region_set_flags(vm, TEST_SLOT, 0);
}

/*
 * Run until the guest is done with what it has been told to do, with the ring drained
 * whenever it is full: where the CPU logs pages too, this is half a ring early.
 */
static void run_logged(struct kvm_vcpu *vcpu, unsigned long *log)
{
	for (;;) {
		vcpu_run(vcpu);
		if (vcpu->run->exit_reason != KVM_EXIT_DIRTY_RING_FULL)
			break;
		drain_ring(vcpu, log);
		kvm_vm_reset_dirty_ring(vcpu->vm);
	}
	TEST_ASSERT(!guest_is_done(vcpu), "the guest is done");
}

/* Write to the first of the test's memory. */
static void write_logged(struct kvm_vcpu *vcpu, u64 size, unsigned long *log)
{
	struct guest_control *control = host_control(vcpu->vm);

	control->start = TEST_GPA;
	control->nr_pages = size / PAGE_SIZE;
	control->write = true;
	run_logged(vcpu, log);
}

/* Run a round of guest_access(). */
static void run_round(struct kvm_vcpu *vcpu, u64 seed, u64 accesses,
		      enum log_mode mode, unsigned long *log)
{
	struct kvm_vm *vm = vcpu->vm;

	memset(host_pointer(vm, guest_wrote), 0, sizeof(guest_wrote));
	memset(host_pointer(vm, guest_read), 0, sizeof(guest_read));
	*(u64 *)host_pointer(vm, &guest_seed) = seed;
	*(u64 *)host_pointer(vm, &guest_accesses) = accesses;

	memset(log, 0, NR_PAGES / 8);
	run_logged(vcpu, log);
	if (mode == LOG_RING) {
		drain_ring(vcpu, log);
		kvm_vm_reset_dirty_ring(vm);
	} else {
		take_log(vm, &vcpu, mode, log);
	}
}

/* Pages that the guest wrote to, and that are not in the log. */
static int count_lost(struct kvm_vm *vm, unsigned long *log)
{
	u8 *wrote = host_pointer(vm, guest_wrote);
	int lost = 0;

	for (int i = 0; i < NR_PAGES; i++)
		lost += wrote[i] && !test_bit(i, log);
	return lost;
}

/*
 * Pages that are in the log for no reason.  On altmmu reading is none; KVM's own
 * MMU makes a page writable, and reports it, when it maps it for reading.
 */
static int count_extra(struct kvm_vm *vm, unsigned long *log, u64 mmu)
{
	u8 *wrote = host_pointer(vm, guest_wrote);
	u8 *read = host_pointer(vm, guest_read);
	int extra = 0;

	for (int i = 0; i < NR_PAGES; i++)
		extra += test_bit(i, log) && !wrote[i] &&
			 !(mmu == KVM_X86_MMU_KVM && read[i]);
	return extra;
}

/* What was written is reported, and nothing else. */
TEST_F_TIMEOUT(dirty_log, exact, TEST_TIMEOUT_LONG)
{
	/* With logging off the guest may do what it likes. */
	*(u64 *)host_pointer(self->vm, &guest_accesses) = NR_PAGES;
	run_until_sync(self->vcpus[0]);

	start_log(self->vm);
	if (variant->mode == LOG_CLEAR) {
		take_log(self->vm, self->vcpus, variant->mode, self->log);
		for (int i = 0; i < NR_PAGES; i++)
			ASSERT_TRUE(test_bit(i, self->log));
	}

	for (int round = 0; round < 4; round++) {
		run_round(self->vcpus[0], round, 300, variant->mode, self->log);
		EXPECT_EQ(0, count_lost(self->vm, self->log));
		EXPECT_EQ(0, count_extra(self->vm, self->log, variant->mmu));
	}
}

/* Nothing was mapped when logging began: also then reads are not writes. */
TEST_F_TIMEOUT(dirty_log, exact_from_scratch, TEST_TIMEOUT_LONG)
{
	start_log(self->vm);
	if (variant->mode == LOG_CLEAR)
		take_log(self->vm, self->vcpus, variant->mode, self->log);

	run_round(self->vcpus[0], 1, 500, variant->mode, self->log);
	EXPECT_EQ(0, count_lost(self->vm, self->log));
	EXPECT_EQ(0, count_extra(self->vm, self->log, variant->mmu));
}

static void update_copy(void *copy, void *mem, unsigned long *log)
{
	for (size_t i = 0; i < NR_PAGES; i++)
		if (test_bit(i, log))
			memcpy(copy + i * PAGE_SIZE, mem + i * PAGE_SIZE,
			       PAGE_SIZE);
}

/*
 * Keep a copy up to date as live migration does, with vCPUs that write all the
 * time.  When they have stopped it is the guest's memory, to the byte.
 */
TEST_F_TIMEOUT(dirty_log, copy, TEST_TIMEOUT_LONG)
{
	struct vcpu_thread threads[TEST_VCPUS];
	void *copy = calloc(1, TEST_SIZE);
	int different = 0;

	ASSERT_NE(NULL, copy);
	for (int i = 0; i < TEST_VCPUS; i++)
		vcpu_arch_set_entry_point(self->vcpus[i], guest_scribble);
	vcpu_threads_start(threads, self->vcpus, TEST_VCPUS);
	vcpu_threads_wait_passes(threads, TEST_VCPUS);

	start_log(self->vm);
	memcpy(copy, self->mem, TEST_SIZE);
	for (int round = 0; round < 10; round++) {
		/* In a full ring's way vCPUs wait for us, not we for them. */
		if (variant->mode != LOG_RING)
			vcpu_threads_wait_passes(threads, TEST_VCPUS);
		take_log(self->vm, self->vcpus, variant->mode, self->log);
		update_copy(copy, self->mem, self->log);
	}
	WRITE_ONCE(host_control(self->vm)->stop, 1);
	for (int i = 0; i < TEST_VCPUS; i++) {
		while (pthread_tryjoin_np(threads[i].thread, NULL)) {
			take_log(self->vm, self->vcpus, variant->mode,
				 self->log);
			update_copy(copy, self->mem, self->log);
		}
	}
	take_log(self->vm, self->vcpus, variant->mode, self->log);
	update_copy(copy, self->mem, self->log);

	for (int i = 0; i < NR_PAGES; i++)
		different += !!memcmp(copy + i * PAGE_SIZE,
				      self->mem + i * PAGE_SIZE, PAGE_SIZE);
	EXPECT_EQ(0, different);
	free(copy);
}

/* Huge pages are split when logging begins, or when they are written to. */
TEST_F_TIMEOUT(dirty_log, split, TEST_TIMEOUT_LONG)
{
	struct kvm_vcpu *vcpu = self->vcpus[0];

	if (variant->pages == PAGES_SMALL)
		SKIP(return, "the pages are small");
	if (variant->pages == PAGES_EAGER && !mmu_has_tdp_mmu(variant->mmu))
		SKIP(return, "KVM's own MMU without the TDP MMU");

	vcpu_arch_set_entry_point(vcpu, guest_touch);
	touch_memory(vcpu, TEST_GPA, TEST_SIZE, true);
	ASSERT_EQ(NR_HUGE, vm_get_stat(self->vm, pages_2m));

	start_log(self->vm);
	if (variant->mode == LOG_CLEAR) {
		/* Nothing is protected, or split, before it is cleared. */
		EXPECT_EQ(NR_HUGE, vm_get_stat(self->vm, pages_2m));
		take_log(self->vm, self->vcpus, LOG_CLEAR, self->log);
	}
	EXPECT_EQ(variant->pages == PAGES_EAGER ? 0 : NR_HUGE,
		  vm_get_stat(self->vm, pages_2m));

	touch_memory(vcpu, TEST_GPA + 5 * PAGE_SIZE, PAGE_SIZE, true);
	EXPECT_EQ(variant->pages == PAGES_EAGER ? 0 : NR_HUGE - 1,
		  vm_get_stat(self->vm, pages_2m));
	take_log(self->vm, self->vcpus, variant->mode, self->log);
	for (int i = 0; i < NR_PAGES; i++)
		EXPECT_EQ(i == 5, test_bit(i, self->log));
}

/* When logging is over memory is mapped huge again, and keeps its content. */
TEST_F_TIMEOUT(dirty_log, recover, TEST_TIMEOUT_LONG)
{
	struct kvm_vcpu *vcpu = self->vcpus[0];

	if (variant->pages == PAGES_SMALL)
		SKIP(return, "the pages are small");

	vcpu_arch_set_entry_point(vcpu, guest_touch);
	touch_memory(vcpu, TEST_GPA, TEST_SIZE, true);
	start_log(self->vm);
	take_log(self->vm, self->vcpus, variant->mode, self->log);
	write_logged(vcpu, TEST_SIZE / 2, self->log);
	take_log(self->vm, self->vcpus, variant->mode, self->log);
	write_logged(vcpu, TEST_SIZE / 4, self->log);
	ASSERT_GT(NR_HUGE, vm_get_stat(self->vm, pages_2m));

	stop_log(self->vm);
	write_logged(vcpu, TEST_SIZE, self->log);
	EXPECT_EQ(NR_HUGE, vm_get_stat(self->vm, pages_2m));
	for (u64 i = 0; i < NR_PAGES; i++) {
		u64 writes = 2 + (i < NR_PAGES / 2) + (i < NR_PAGES / 4);

		ASSERT_EQ(writes, *(u64 *)(self->mem + i * PAGE_SIZE));
	}
}

int main(int argc, char *argv[])
{
	mmu_require_altmmu();
	keep_file(EAGER_PARAM);
	return test_harness_run(argc, argv);
}
