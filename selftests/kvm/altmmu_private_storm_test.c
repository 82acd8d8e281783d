// SPDX-License-Identifier: GPL-2.0
/*
 * Memory that is converted, and in which holes are punched, while vCPUs use it
 * in both views.
 *
 * For each page the host counts what it does, before and after, and a guest notes
 * what it writes.  So a vCPU knows of each access whether it may fail, and what
 * it must find: a write that is lost, a translation that is stale, an access that
 * should not have been possible, or should have, are found by who meets them.
 */
#include <asm/barrier.h>

#include "kselftest_harness.h"
#include "altmmu_private.h"

#define TEST_SIZE	SZ_4M
#define NR_PAGES	(TEST_SIZE / PAGE_SIZE)

#define NR_ROUNDS	24
#define NR_VISITS	64

/* One that never runs: who pre-faults must not wait for those that do. */
#define IDLE_VCPU	TEST_VCPUS

/* By host: odd while it is at it. */
static struct page_state {
	u64 conversions;
	u64 losses;	/* of what is private */
} pages[NR_PAGES];

/* Whether it is shared, if it is not about to change. */
static bool is_shared(u64 conversions)
{
	return (conversions >> 1) & 1;
}

/*
 * By guest, for a word in each page that is this vCPU's alone: what it has
 * written there last, and what the losses were right before and after.
 */
static struct note {
	u64 shared_word;
	u64 private_word;
	u64 losses_before;
	u64 losses_after;
	u64 accepted;	/* the losses when it was, if those were stable */
} notes[TEST_VCPUS][NR_PAGES];

#define NEVER	(~0ULL)

/* By host: the guest has to accept private pages. */
static u64 guest_accepts;

/* A loss that began after losses were @after, and has ended, is certain. */
static bool is_lost(u64 after, u64 now)
{
	return now >= ((after + 1) | 1) + 1;
}

static void guest_check_private(struct page_state *state, struct note *note,
				u64 losses, u64 word)
{
	if (word == note->private_word) {
		GUEST_ASSERT(!word || !is_lost(note->losses_after, losses));
		return;
	}
	/* Gone: a loss was under way when it was written, or has begun since. */
	GUEST_ASSERT_EQ(word, 0);
	GUEST_ASSERT(note->losses_before & 1 ||
		     READ_ONCE(state->losses) != note->losses_before);
	note->private_word = 0;
}

/* The page could not be used: is it to be accepted, or has the host said no? */
static void guest_take(struct page_state *state, struct note *note, u64 gpa)
{
	u64 before = READ_ONCE(state->losses), after, result;

	/* It can't be that it was accepted, and nothing has happened. */
	GUEST_ASSERT_NE(note->accepted, before);
	note->accepted = NEVER;
	result = guest_accept(gpa, 1);
	after = READ_ONCE(state->losses);
	if (result == ACCESS_SKIPPED)
		return;
	GUEST_ASSERT_EQ(result, ACCEPT_OK);
	note->private_word = 0;
	if (before == after && !(after & 1))
		note->accepted = after;
}

/* Use one word in the view that is right, or one in the other. */
static void guest_visit(u32 vcpu_id, u64 page, u64 word, bool right)
{
	struct page_state *state = &pages[page];
	struct note *note = &notes[vcpu_id][page];
	u64 conversions = READ_ONCE(state->conversions);
	u64 losses = READ_ONCE(state->losses);
	bool shared = is_shared(conversions) == right;
	u64 gpa = TEST_GPA + page * PAGE_SIZE;
	u64 gva = gpa + vcpu_id * 64 + (shared ? SHARED_VIEW : 0);
	bool stable, written;
	u64 found;

	found = guest_read(gva);
	stable = !(conversions & 1) &&
		 READ_ONCE(state->conversions) == conversions;
	if (found == ACCESS_SKIPPED) {
		if (!stable || !right)
			return;
		GUEST_ASSERT(!shared && guest_accepts);
		guest_take(state, note, gpa);
		return;
	}
	GUEST_ASSERT(!stable || right);
	if (shared)
		GUEST_ASSERT_EQ(found, note->shared_word);
	else
		guest_check_private(state, note, losses, found);

	losses = READ_ONCE(state->losses);
	written = guest_write(gva, word);
	/* It is in memory before losses are looked at again. */
	mb();
	if (written && shared) {
		note->shared_word = word;
	} else if (written) {
		note->private_word = word;
		note->losses_before = losses;
		note->losses_after = READ_ONCE(state->losses);
	} else if (READ_ONCE(state->conversions) == conversions && stable) {
		/* It could be read, but no longer be written. */
		GUEST_ASSERT(!shared && guest_accepts);
		GUEST_ASSERT_NE(READ_ONCE(state->losses), note->accepted);
	}
}

static void guest_storm(u32 vcpu_id)
{
	struct kvm_random_state random = new_kvm_random_state(vcpu_id + 1);
	u64 serial = 0;

	while (!guest_stopped()) {
		for (int i = 0; i < NR_VISITS; i++) {
			u64 page = kvm_random_u32(&random) % NR_PAGES;

			/* Who accepts a page empties it, also for others. */
			if (guest_accepts)
				page = page / TEST_VCPUS * TEST_VCPUS + vcpu_id;
			guest_visit(vcpu_id, page,
				    ++serial << 8 | (vcpu_id + 1),
				    kvm_random_u32(&random) % 8);
		}
		guest_end_pass(vcpu_id);
		guest_leave();
	}
	GUEST_DONE();
}

enum range_size {
	RANGE_4K,
	RANGE_2M,
	RANGE_MIXED,
};

struct storm {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpus[TEST_VCPUS + 1];
	struct page_state *pages;
	u64 *mem;
};

FIXTURE(storm) {
	struct storm storm;
};

FIXTURE_VARIANT(storm) {
	enum range_size size;
	bool accepts;
	bool holes;
	bool pre_faults;
	bool busy;
};

FIXTURE_VARIANT_ADD(storm, convert_4k) {
	.size = RANGE_4K,
};

FIXTURE_VARIANT_ADD(storm, convert_2m) {
	.size = RANGE_2M,
};

FIXTURE_VARIANT_ADD(storm, convert_mixed) {
	.size = RANGE_MIXED,
};

FIXTURE_VARIANT_ADD(storm, convert_4k_accept) {
	.size = RANGE_4K,
	.accepts = true,
};

FIXTURE_VARIANT_ADD(storm, convert_2m_accept) {
	.size = RANGE_2M,
	.accepts = true,
};

FIXTURE_VARIANT_ADD(storm, convert_mixed_accept) {
	.size = RANGE_MIXED,
	.accepts = true,
};

FIXTURE_VARIANT_ADD(storm, holes) {
	.size = RANGE_MIXED,
	.holes = true,
};

FIXTURE_VARIANT_ADD(storm, holes_accept) {
	.size = RANGE_MIXED,
	.accepts = true,
	.holes = true,
};

FIXTURE_VARIANT_ADD(storm, pre_faults) {
	.size = RANGE_MIXED,
	.pre_faults = true,
};

FIXTURE_VARIANT_ADD(storm, convert_4k_busy) {
	.size = RANGE_4K,
	.busy = true,
};

FIXTURE_VARIANT_ADD(storm, convert_2m_busy) {
	.size = RANGE_2M,
	.busy = true,
};

FIXTURE_VARIANT_ADD(storm, convert_4k_busy_accept) {
	.size = RANGE_4K,
	.accepts = true,
	.busy = true,
};

FIXTURE_VARIANT_ADD(storm, convert_2m_busy_accept) {
	.size = RANGE_2M,
	.accepts = true,
	.busy = true,
};

FIXTURE_VARIANT_ADD(storm, busy) {
	.size = RANGE_MIXED,
	.holes = true,
	.pre_faults = true,
	.busy = true,
};

FIXTURE_VARIANT_ADD(storm, busy_accept) {
	.size = RANGE_MIXED,
	.accepts = true,
	.holes = true,
	.pre_faults = true,
	.busy = true,
};

FIXTURE_SETUP(storm)
{
	struct storm *storm = &self->storm;

	storm->vm = private_create_vm(0, variant->accepts ? 0 :
				     KVM_X86_SOFT_MIRROR_AUTO_ACCEPT);
	private_boot_vm(storm->vm, TEST_VCPUS + 1, guest_storm, storm->vcpus);
	storm->mem = private_add_memory(storm->vm, TEST_GPA, TEST_SLOT,
					TEST_SIZE);
	private_map_views(storm->vm, TEST_GPA, TEST_SIZE, PG_LEVEL_4K);
	vm_mem_set_private(storm->vm, TEST_GPA, TEST_SIZE);
	if (variant->accepts)
		private_finalize(storm->vm);

	storm->pages = host_pointer(storm->vm, pages);
	*(u64 *)host_pointer(storm->vm, &guest_accepts) = variant->accepts;
	for (u32 i = 0; i < TEST_VCPUS; i++) {
		struct note *note = host_pointer(storm->vm, notes[i]);

		for (u64 page = 0; page < NR_PAGES; page++)
			note[page].accepted = NEVER;
	}
}

FIXTURE_TEARDOWN(storm)
{
	kvm_vm_free(self->storm.vm);
}

static void choose_range(enum range_size size, u64 *first, u64 *nr)
{
	const u64 nr_2m = SZ_2M / PAGE_SIZE;

	*first = random_below(NR_PAGES);
	switch (size) {
	case RANGE_4K:
		*nr = 1;
		break;
	case RANGE_2M:
		*first -= *first % nr_2m;
		*nr = nr_2m;
		break;
	case RANGE_MIXED:
		*nr = random_below(NR_PAGES - *first) + 1;
		break;
	}
}

static void count_losses(struct storm *storm, u64 page)
{
	WRITE_ONCE(storm->pages[page].losses, storm->pages[page].losses + 1);
}

static void convert(struct storm *storm, u64 first, u64 nr, bool shared,
		    bool loses)
{
	const u64 attributes = shared ? 0 : KVM_MEMORY_ATTRIBUTE_PRIVATE;

	for (int after = 0; after < 2; after++) {
		for (u64 page = first; page < first + nr; page++) {
			u64 conversions = storm->pages[page].conversions;

			if (!(conversions & 1) &&
			    is_shared(conversions) == shared)
				continue;
			WRITE_ONCE(storm->pages[page].conversions,
				   conversions + 1);
			if (loses)
				count_losses(storm, page);
		}
		if (after)
			return;
		vm_set_memory_attributes(storm->vm,
					 TEST_GPA + first * PAGE_SIZE,
					 nr * PAGE_SIZE, attributes);
	}
}

static void punch_hole(struct storm *storm, u64 first, u64 nr)
{
	u64 page;

	for (page = first; page < first + nr; page++)
		count_losses(storm, page);
	vm_guest_mem_punch_hole(storm->vm, TEST_GPA + first * PAGE_SIZE,
				nr * PAGE_SIZE);
	for (page = first; page < first + nr; page++)
		count_losses(storm, page);
}

/* What is shared is as the guest has left it. */
static void check_shared(struct __test_metadata *_metadata,
			 struct storm *storm)
{
	for (u32 i = 0; i < TEST_VCPUS; i++) {
		struct note *note = host_pointer(storm->vm, notes[i]);

		for (u64 page = 0; page < NR_PAGES; page++)
			EXPECT_EQ(note[page].shared_word,
				  storm->mem[(page * PAGE_SIZE + i * 64) /
					    sizeof(u64)]);
	}
}

TEST_F_TIMEOUT(storm, under_vcpus, TEST_TIMEOUT_LONG)
{
	struct vcpu_thread threads[TEST_VCPUS];
	struct storm *storm = &self->storm;
	struct provider_counts counts;
	u64 first, nr;

	if (variant->busy)
		provider_inject(storm->vm, "busy_every 3");
	private_threads_start(threads, storm->vcpus, TEST_VCPUS);
	for (int i = 0; i < NR_ROUNDS; i++) {
		for (int j = 0; j < (variant->size == RANGE_4K ? 32 : 2); j++) {
			choose_range(variant->size, &first, &nr);
			convert(storm, first, nr, random_below(2),
				variant->accepts);
		}
		if (variant->holes) {
			choose_range(variant->size, &first, &nr);
			punch_hole(storm, first, nr);
		}
		if (variant->pre_faults) {
			choose_range(variant->size, &first, &nr);
			ASSERT_EQ(0, private_pre_fault(storm->vcpus[IDLE_VCPU],
						       TEST_GPA +
						       first * PAGE_SIZE,
						       nr * PAGE_SIZE));
		}
		vcpu_threads_wait_passes(threads, TEST_VCPUS);
	}
	vcpu_threads_stop(threads, TEST_VCPUS);

	check_shared(_metadata, storm);
	/* Neither side has had it easy. */
	EXPECT_LT(0, threads[0].bad_addresses);
	EXPECT_LT(0, threads[1].bad_addresses);
	provider_read(storm->vm, &counts);
	EXPECT_LT(0, counts.remove);
	if (variant->busy)
		EXPECT_LT(0, counts.busy);

	private_check_mirror(storm->vm);
	private_delete_all(storm->vm);
}

int main(int argc, char *argv[])
{
	private_require();
	return test_harness_run(argc, argv);
}
