// SPDX-License-Identifier: GPL-2.0
/*
 * The host does to memory what hosts do, while vCPUs verify it: what they write
 * is there when they come back, and what the host dropped does not come back.
 *
 * Each kind of disturbance is a test of its own, and one has all of them.  How
 * long they last is a number of times, not a time.
 */
#include <sys/swap.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "altmmu.h"
#include "numaif.h"

#define TEST_SIZE	SZ_4M
#define NR_PAGES	(TEST_SIZE / PAGE_SIZE)

/* The control is there to be seen, it need not last. */
#define NR_ROUNDS		6
#define NR_ROUNDS_CONTROL	2

/* About how many milliseconds it may take vCPUs to come to some memory. */
#define REFUSAL_TRIES	5000

/* How often to look, 2 ms apart, whether ksmd, which sees a page twice, is done. */
#define MERGE_TRIES	5000

#define KSM(file)	"/sys/kernel/mm/ksm/" file

/* A phase in which the guest writes to nothing: KSM leaves alone what changes. */
#define PHASE_QUIET	(PHASE_CHANGING + 1)

/* What the guest last wrote to each page; with stamps: what the host did. */
static u64 written[NR_PAGES];
static u64 stamps[NR_PAGES];

static u64 *guest_word(u64 page)
{
	return (u64 *)(TEST_GPA + page * PAGE_SIZE);
}

/* Every page has the count that was left there; some get a new one. */
static void guest_verify(u32 vcpu_id)
{
	for (u64 pass = 0; !guest_stopped(); pass++) {
		for (u64 page = vcpu_id; page < NR_PAGES; page += TEST_VCPUS) {
			u64 *word = guest_word(page);

			GUEST_ASSERT_EQ(READ_ONCE(*word), written[page]);
			if ((page / TEST_VCPUS + pass) % 4 ||
			    guest_phase() == PHASE_QUIET)
				continue;
			WRITE_ONCE(written[page], written[page] + 1);
			WRITE_ONCE(*word, written[page]);
		}
		guest_end_pass(vcpu_id);
	}
	GUEST_DONE();
}

/*
 * Every page has the host's stamp, unless it is odd: then the host is about to
 * drop the page.  The guest writes to it too, to have it mapped for that.
 */
static void guest_verify_stamps(u32 vcpu_id)
{
	while (!guest_stopped()) {
		for (u64 page = 0; page < NR_PAGES; page++) {
			u64 *word = guest_word(page);
			u64 stamp = READ_ONCE(stamps[page]);
			u64 seen = READ_ONCE(*word);

			if (!(stamp & 1) && stamp == READ_ONCE(stamps[page]))
				GUEST_ASSERT_EQ(seen, stamp);
			WRITE_ONCE(word[1 + vcpu_id], stamp);
		}
		guest_end_pass(vcpu_id);
	}
	GUEST_DONE();
}

FIXTURE(storm) {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpus[TEST_VCPUS];
	struct vcpu_thread threads[TEST_VCPUS];
	void *mem;
};

FIXTURE_VARIANT(storm) {
	u64 mmu;
	enum vm_mem_backing_src_type backing;
	int rounds;
};

FIXTURE_VARIANT_ADD(storm, kvm_huge) {
	.mmu = KVM_X86_MMU_KVM,
	.backing = VM_MEM_SRC_ANONYMOUS_THP,
	.rounds = NR_ROUNDS_CONTROL,
};

FIXTURE_VARIANT_ADD(storm, altmmu_small) {
	.mmu = KVM_X86_MMU_ALTMMU,
	.backing = VM_MEM_SRC_ANONYMOUS,
	.rounds = NR_ROUNDS,
};

FIXTURE_VARIANT_ADD(storm, altmmu_huge) {
	.mmu = KVM_X86_MMU_ALTMMU,
	.backing = VM_MEM_SRC_ANONYMOUS_THP,
	.rounds = NR_ROUNDS,
};

FIXTURE_SETUP(storm)
{
	if (variant->backing == VM_MEM_SRC_ANONYMOUS_THP && !thp_configured())
		SKIP(return, "the host has no huge pages");

	self->vm = mmu_create_with_vcpus(variant->mmu, TEST_VCPUS, guest_verify,
					 self->vcpus);
	vm_userspace_mem_region_add(self->vm, variant->backing, TEST_GPA,
				    TEST_SLOT, NR_PAGES, 0);
	virt_map(self->vm, TEST_GPA, TEST_GPA, NR_PAGES);
	self->mem = addr_gpa2hva(self->vm, TEST_GPA);
	memset(self->mem, 0, TEST_SIZE);
}

FIXTURE_TEARDOWN(storm)
{
	kvm_vm_free(self->vm);
}

static void start_guests(FIXTURE_DATA(storm) * self, void *guest_code)
{
	for (int i = 0; i < TEST_VCPUS; i++)
		vcpu_arch_set_entry_point(self->vcpus[i], guest_code);
	vcpu_threads_start(self->threads, self->vcpus, TEST_VCPUS);
	vcpu_threads_wait_passes(self->threads, TEST_VCPUS);
}

/* The host sees what the guest wrote last. */
static void stop_guests(struct __test_metadata *_metadata,
			FIXTURE_DATA(storm) * self)
{
	u64 *last = host_pointer(self->vm, written);

	vcpu_threads_wait_passes(self->threads, TEST_VCPUS);
	vcpu_threads_stop(self->threads, TEST_VCPUS);
	for (u64 page = 0; page < NR_PAGES; page++)
		ASSERT_EQ(last[page], *(u64 *)(self->mem + page * PAGE_SIZE));
}

/* Odd: about to change; even: what the pages have. */
static void advance_stamps(u64 *stamp, size_t first, size_t end)
{
	for (size_t page = first; page < end; page++)
		WRITE_ONCE(stamp[page], stamp[page] + 1);
}

/* Give pages the stamps that are next, wherever the host has them now. */
static void stamp_pages(const u64 *stamp, size_t first, size_t end, void *at)
{
	for (size_t page = first; page < end; page++)
		WRITE_ONCE(*(u64 *)(at + (page - first) * PAGE_SIZE),
			   stamp[page] + 1);
}

/* Dropped pages come back as the host fills them, never as they were. */
TEST_F_TIMEOUT(storm, drop, TEST_TIMEOUT_LONG)
{
	u64 *stamp = host_pointer(self->vm, stamps);

	start_guests(self, guest_verify_stamps);
	for (int i = 0; i < 10 * variant->rounds; i++) {
		size_t first = random_below(NR_PAGES);
		size_t end = min_t(size_t, first + 1 + random_below(NR_PAGES) / 8,
				   NR_PAGES);
		void *at = self->mem + first * PAGE_SIZE;

		advance_stamps(stamp, first, end);
		kvm_madvise(at, (end - first) * PAGE_SIZE, MADV_DONTNEED);
		stamp_pages(stamp, first, end, at);
		advance_stamps(stamp, first, end);
	}
	vcpu_threads_wait_passes(self->threads, TEST_VCPUS);
	vcpu_threads_stop(self->threads, TEST_VCPUS);
}

static void move_to(void *from, void *to, size_t size)
{
	TEST_ASSERT(mremap(from, size, size, MREMAP_MAYMOVE | MREMAP_FIXED,
			   to) == to, "mremap(): errno %d", errno);
}

/* There is other memory in place of some that lives on, then that is back. */
TEST_F_TIMEOUT(storm, replace, TEST_TIMEOUT_LONG)
{
	u64 *stamp = host_pointer(self->vm, stamps);

	start_guests(self, guest_verify_stamps);
	for (int i = 0; i < variant->rounds; i++) {
		size_t first = random_below(NR_PAGES);
		size_t end = first + 1 + random_below(NR_PAGES - first);
		size_t size = (end - first) * PAGE_SIZE;
		void *at = self->mem + first * PAGE_SIZE;
		void *aside = kvm_mmap(size, PROT_NONE,
				       MAP_PRIVATE | MAP_ANONYMOUS, -1);

		advance_stamps(stamp, first, end);
		move_to(at, aside, size);
		ASSERT_EQ(at, mmap(at, size, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
				   0));
		stamp_pages(stamp, first, end, at);
		advance_stamps(stamp, first, end);
		vcpu_threads_wait_passes(self->threads, TEST_VCPUS);

		for (size_t page = first; page < end; page++)
			ASSERT_EQ(stamp[page] - 2,
				  *(u64 *)(aside + (page - first) * PAGE_SIZE));
		advance_stamps(stamp, first, end);
		stamp_pages(stamp, first, end, aside);
		move_to(aside, at, size);
		advance_stamps(stamp, first, end);
		vcpu_threads_wait_passes(self->threads, TEST_VCPUS);
	}
	vcpu_threads_stop(self->threads, TEST_VCPUS);
}

/*
 * Disturbances that leave the content as it is.  Each returns to how many pages it
 * has done that, for what was asked is not always what happens, or UNABLE and why.
 */
#define UNABLE	-1

static const char *why_unable;

static long unable(const char *why)
{
	why_unable = why;
	return UNABLE;
}

static const char split_file[] = "/sys/kernel/debug/split_huge_pages";

static long split_huge(void *mem)
{
	size_t before = huge_size(mem, TEST_SIZE);
	size_t after;
	char text[64];

	snprintf(text, sizeof(text), "%d,0x%lx,0x%lx,0", getpid(), (long)mem,
		 (long)mem + TEST_SIZE);
	if (!write_file(split_file, text))
		return unable("no split_huge_pages in debugfs");
	after = huge_size(mem, TEST_SIZE);
	return before > after ? (before - after) / PAGE_SIZE : 0;
}

/* It fails if somebody has a page in his hands. */
static long collapse_small(void *mem)
{
	size_t before = huge_size(mem, TEST_SIZE);
	size_t after;

	if (madvise(mem, TEST_SIZE, MADV_HUGEPAGE))
		return unable("the host has no huge pages");
	if (madvise(mem, TEST_SIZE, MADV_COLLAPSE) && errno != EAGAIN &&
	    errno != EBUSY && errno != ENOMEM)
		return unable("no MADV_COLLAPSE");
	after = huge_size(mem, TEST_SIZE);
	return after > before ? (after - before) / PAGE_SIZE : 0;
}

/* What is not as they want to find it is made so. */
static long collapse(FIXTURE_DATA(storm) * self)
{
	if (is_all_huge(self->mem, TEST_SIZE) && split_huge(self->mem) == UNABLE)
		return UNABLE;
	return collapse_small(self->mem);
}

static long split(FIXTURE_DATA(storm) * self)
{
	if (!huge_size(self->mem, TEST_SIZE) &&
	    collapse_small(self->mem) == UNABLE)
		return UNABLE;
	return split_huge(self->mem);
}

/* Pages of nothing but zeros are not written. */
static long swapped_out(void)
{
	return host_event_count("pswpout") + max(host_event_count("swpout_zero"), 0L);
}

static long page_out(FIXTURE_DATA(storm) * self)
{
	size_t first = random_below(NR_PAGES);
	long before = swapped_out();

	if (meminfo_kb("SwapTotal") <= 0)
		return unable("no swap");
	kvm_madvise(self->mem + first * PAGE_SIZE,
		    TEST_SIZE - first * PAGE_SIZE, MADV_PAGEOUT);
	return swapped_out() - before;
}

static u64 count_refusals(FIXTURE_DATA(storm) * self)
{
	u64 count = 0;

	for (int i = 0; i < TEST_VCPUS; i++)
		count += READ_ONCE(self->threads[i].bad_addresses);
	return count;
}

/*
 * A vCPU that finds that the host has taken memory away tries again and again.  If
 * none does they still use it: its content would not tell.
 */
static void wait_refused(FIXTURE_DATA(storm) * self)
{
	/* One of each vCPU may be of before, and counted late. */
	u64 enough = count_refusals(self) + TEST_VCPUS + 1;

	for (int i = 0; count_refusals(self) < enough; i++) {
		TEST_ASSERT(i < REFUSAL_TRIES,
			    "vCPUs go on with memory that was taken away");
		usleep(1000);
	}
}

/* While the memory is elsewhere vCPUs find nothing. */
static long move(FIXTURE_DATA(storm) * self)
{
	size_t page = random_below(NR_PAGES);
	size_t size = (NR_PAGES - page) * PAGE_SIZE;
	void *from = self->mem + page * PAGE_SIZE;
	void *to = kvm_mmap(size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	move_to(from, to, size);
	wait_refused(self);
	move_to(to, from, size);
	return size / PAGE_SIZE;
}

/* They find that they can't write, then that they can't even read. */
static long protect(FIXTURE_DATA(storm) * self)
{
	size_t page = random_below(NR_PAGES);
	size_t size = (NR_PAGES - page) * PAGE_SIZE;
	void *from = self->mem + page * PAGE_SIZE;

	TEST_ASSERT(!mprotect(from, size, PROT_READ), "mprotect()");
	wait_refused(self);
	TEST_ASSERT(!mprotect(from, size, PROT_NONE), "mprotect()");
	wait_refused(self);
	TEST_ASSERT(!mprotect(from, size, PROT_READ | PROT_WRITE),
		    "mprotect()");
	return size / PAGE_SIZE;
}

/* Where the host has each page: its node, or a negative errno. */
static void find_nodes(void **pages, int *status)
{
	TEST_ASSERT(!move_pages(0, NR_PAGES, pages, NULL, status, 0),
		    "move_pages() to nowhere");
}

/* From node to node. */
static long migrate_to(void *mem, int node)
{
	int nodes[NR_PAGES], before[NR_PAGES], after[NR_PAGES];
	void *pages[NR_PAGES];
	long moved = 0;

	for (size_t i = 0; i < NR_PAGES; i++) {
		pages[i] = mem + i * PAGE_SIZE;
		nodes[i] = node;
	}
	find_nodes(pages, before);
	TEST_ASSERT(move_pages(0, NR_PAGES, pages, nodes, after,
			       MPOL_MF_MOVE) >= 0, "move_pages()");
	find_nodes(pages, after);
	for (size_t i = 0; i < NR_PAGES; i++)
		moved += before[i] == !node && after[i] == node;
	return moved;
}

/* With one node there is only compaction, which may have nothing to do. */
static long compact(void)
{
	long before = host_event_count("pgmigrate_success");

	if (!write_file("/proc/sys/vm/compact_memory", "1"))
		return unable("one node, and no compaction");
	return host_event_count("pgmigrate_success") - before;
}

static long migrate(FIXTURE_DATA(storm) * self)
{
	static int node;

	if (!is_multi_numa_node_system())
		return compact();
	node = !node;
	return migrate_to(self->mem, node);
}

static long ksm_value(const char *path)
{
	char text[32];

	return read_file(path, text, sizeof(text)) ? atol(text) : -1;
}

/* Let ksmd have the memory until it has merged pages, then the guest again. */
static long merge(FIXTURE_DATA(storm) * self)
{
	long merged = 0;

	if (!write_file(KSM("sleep_millisecs"), "1") ||
	    !write_file(KSM("pages_to_scan"), "2000") ||
	    !write_file(KSM("run"), "1"))
		return unable("no KSM");
	kvm_madvise(self->mem, TEST_SIZE, MADV_MERGEABLE);
	set_phase(self->vm, PHASE_QUIET);
	vcpu_threads_wait_passes(self->threads, TEST_VCPUS);
	for (int i = 0; i < MERGE_TRIES && merged <= 0; i++) {
		usleep(2000);
		merged = ksm_value("/proc/self/ksm_merging_pages");
	}
	vcpu_threads_wait_passes(self->threads, TEST_VCPUS);
	set_phase(self->vm, PHASE_CHANGING);
	vcpu_threads_wait_passes(self->threads, TEST_VCPUS);
	return max(merged, 0L);
}

static u64 count_writes(FIXTURE_DATA(storm) * self)
{
	u64 *last = host_pointer(self->vm, written);
	u64 writes = 0;

	for (u64 page = 0; page < NR_PAGES; page++)
		writes += READ_ONCE(last[page]);
	return writes;
}

/* A child has the memory as it was when it was born, whatever the guest does. */
static long fork_child(FIXTURE_DATA(storm) * self)
{
	int status, go_on[2];
	u64 writes;
	pid_t pid;
	char c;

	TEST_ASSERT(!pipe(go_on), "pipe()");
	pid = fork();
	TEST_ASSERT(pid >= 0, "fork()");
	if (!pid) {
		static u64 seen[NR_PAGES];
		bool same = true;

		close(go_on[1]);
		for (size_t i = 0; i < NR_PAGES; i++)
			seen[i] = *(u64 *)(self->mem + i * PAGE_SIZE);
		/* Until the guest has been everywhere. */
		same = !read(go_on[0], &c, 1);
		for (size_t i = 0; i < NR_PAGES; i++)
			same &= seen[i] == *(u64 *)(self->mem + i * PAGE_SIZE);
		_exit(!same);
	}
	close(go_on[0]);
	writes = count_writes(self);
	vcpu_threads_wait_passes(self->threads, TEST_VCPUS);
	writes = count_writes(self) - writes;
	close(go_on[1]);
	TEST_ASSERT(waitpid(pid, &status, 0) == pid, "waitpid()");
	TEST_ASSERT(!status, "a child saw what the guest wrote after fork()");
	return writes;
}

/* It must have happened once, for else the guest had nothing to stand. */
static void disturb(struct __test_metadata *_metadata,
		    FIXTURE_DATA(storm) * self, int rounds,
		    long (*how)(FIXTURE_DATA(storm) * self))
{
	long pages = 0, done = 0;

	start_guests(self, guest_verify);
	for (int i = 0; done != UNABLE && i < rounds; i++) {
		done = how(self);
		pages += done;
	}
	stop_guests(_metadata, self);
	if (done == UNABLE)
		SKIP(return, "%s", why_unable);
	if (!pages && how == migrate && !is_multi_numa_node_system())
		SKIP(return, "one node, and compaction had nothing to do");
	EXPECT_LT(0, pages);
}

TEST_F_TIMEOUT(storm, collapse, TEST_TIMEOUT_LONG)
{
	disturb(_metadata, self, variant->rounds, collapse);
}

TEST_F_TIMEOUT(storm, split, TEST_TIMEOUT_LONG)
{
	disturb(_metadata, self, variant->rounds, split);
}

TEST_F_TIMEOUT(storm, page_out, TEST_TIMEOUT_LONG)
{
	disturb(_metadata, self, variant->rounds, page_out);
}

TEST_F_TIMEOUT(storm, move, TEST_TIMEOUT_LONG)
{
	disturb(_metadata, self, variant->rounds, move);
}

TEST_F_TIMEOUT(storm, protect, TEST_TIMEOUT_LONG)
{
	disturb(_metadata, self, variant->rounds, protect);
}

TEST_F_TIMEOUT(storm, migrate, TEST_TIMEOUT_LONG)
{
	disturb(_metadata, self, variant->rounds, migrate);
}

TEST_F_TIMEOUT(storm, merge, TEST_TIMEOUT_LONG)
{
	disturb(_metadata, self, variant->rounds, merge);
}

TEST_F_TIMEOUT(storm, fork_child, TEST_TIMEOUT_LONG)
{
	disturb(_metadata, self, variant->rounds, fork_child);
}

TEST_F_TIMEOUT(storm, collapse_and_split, TEST_TIMEOUT_LONG)
{
	long collapsed = 0, was_split = 0;

	start_guests(self, guest_verify);
	for (int i = 0; !why_unable && i < variant->rounds; i++) {
		collapsed += collapse_small(self->mem);
		vcpu_threads_wait_passes(self->threads, TEST_VCPUS);
		was_split += split_huge(self->mem);
	}
	stop_guests(_metadata, self);
	if (why_unable)
		SKIP(return, "%s", why_unable);
	EXPECT_LT(0, collapsed);
	EXPECT_LT(0, was_split);
}

TEST_F_TIMEOUT(storm, everything, TEST_TIMEOUT_LONG)
{
	static long (*const all[])(FIXTURE_DATA(storm) * self) = {
		collapse, split, page_out, move, protect, migrate, fork_child,
	};

	start_guests(self, guest_verify);
	for (int i = 0; i < 2 * variant->rounds; i++)
		all[random_below(ARRAY_SIZE(all))](self);
	stop_guests(_metadata, self);
}

#define ZRAM_DEVICE	"/dev/zram0"
#define ZRAM(file)	"/sys/block/zram0/" file

/* What mkswap(8) leaves at the start of a device. */
static bool write_swap_header(u32 nr_pages)
{
	const u32 header[] = { 1, nr_pages - 1, 0 };
	static const char magic[] = "SWAPSPACE2";
	char *page = calloc(1, PAGE_SIZE);
	int fd = open(ZRAM_DEVICE, O_WRONLY);
	bool written;

	if (!page || fd < 0)
		return false;
	memcpy(page + SZ_1K, header, sizeof(header));
	memcpy(page + PAGE_SIZE - strlen(magic), magic, strlen(magic));
	written = write(fd, page, PAGE_SIZE) == PAGE_SIZE && !fsync(fd);
	close(fd);
	free(page);
	return written;
}

static void remove_swap(void)
{
	swapoff(ZRAM_DEVICE);
	write_file(ZRAM("reset"), "1");
}

/* Without swap page_out() can't do much: have some if zram is not in use. */
static void add_swap(void)
{
	char text[32];

	if (meminfo_kb("SwapTotal") > 0 ||
	    !read_file(ZRAM("disksize"), text, sizeof(text)) || atol(text) ||
	    !write_file(ZRAM("disksize"), "64M"))
		return;
	on_every_exit(remove_swap);
	if (write_swap_header(SZ_64M / PAGE_SIZE))
		swapon(ZRAM_DEVICE, 0);
}

int main(int argc, char *argv[])
{
	mmu_require_altmmu();
	keep_file(KSM("pages_to_scan"));
	keep_file(KSM("sleep_millisecs"));
	keep_file(KSM("run"));
	add_swap();
	return test_harness_run(argc, argv);
}
