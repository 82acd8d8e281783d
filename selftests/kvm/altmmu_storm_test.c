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

#define KSM(file)	"/sys/kernel/mm/ksm/" file

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
			if ((page / TEST_VCPUS + pass) % 4)
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
	for (int i = 0; i < TEST_VCPUS; i++) {
		vcpu_arch_set_entry_point(self->vcpus[i], guest_code);
		vcpu_args_set(self->vcpus[i], 1, i);
	}
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

/* Memory at random: the same at each run. */
static size_t random_page(void)
{
	return kvm_random_u64_in_range(&kvm_rng, 0, NR_PAGES - 1);
}

/* Dropped pages come back as the host fills them, never as they were. */
TEST_F_TIMEOUT(storm, drop, TEST_TIMEOUT_LONG)
{
	u64 *stamp = host_pointer(self->vm, stamps);

	start_guests(self, guest_verify_stamps);
	for (int i = 0; i < 10 * variant->rounds; i++) {
		size_t first = random_page();
		size_t end = min_t(size_t, first + 1 + random_page() / 8,
				   NR_PAGES);

		for (size_t page = first; page < end; page++)
			WRITE_ONCE(stamp[page], stamp[page] + 1);
		kvm_madvise(self->mem + first * PAGE_SIZE,
			    (end - first) * PAGE_SIZE, MADV_DONTNEED);
		for (size_t page = first; page < end; page++) {
			WRITE_ONCE(*(u64 *)(self->mem + page * PAGE_SIZE),
				   stamp[page] + 1);
			WRITE_ONCE(stamp[page], stamp[page] + 1);
		}
	}
	vcpu_threads_wait_passes(self->threads, TEST_VCPUS);
	vcpu_threads_stop(self->threads, TEST_VCPUS);
}

/*
 * Disturbances that leave the content as it is.  Each returns false if the host
 * can't do it.
 */
static bool collapse(void *mem)
{
	/* It fails if somebody has a page in his hands. */
	return !madvise(mem, TEST_SIZE, MADV_COLLAPSE) || errno == EAGAIN ||
	       errno == EBUSY || errno == ENOMEM;
}

static bool split(void *mem)
{
	char text[64];

	snprintf(text, sizeof(text), "%d,0x%lx,0x%lx,0", getpid(), (long)mem,
		 (long)mem + TEST_SIZE);
	return write_file("/sys/kernel/debug/split_huge_pages", text);
}

static bool page_out(void *mem)
{
	size_t first = random_page();

	if (meminfo_kb("SwapTotal") <= 0)
		return false;
	kvm_madvise(mem + first * PAGE_SIZE, TEST_SIZE - first * PAGE_SIZE,
		    MADV_PAGEOUT);
	return true;
}

/* While the memory is elsewhere vCPUs find nothing, and try again. */
static bool move(void *mem)
{
	size_t page = random_page();
	size_t size = (NR_PAGES - page) * PAGE_SIZE;
	void *from = mem + page * PAGE_SIZE;
	void *to = kvm_mmap(size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	TEST_ASSERT(mremap(from, size, size, MREMAP_MAYMOVE | MREMAP_FIXED,
			   to) == to, "mremap() away");
	usleep(500);
	TEST_ASSERT(mremap(to, size, size, MREMAP_MAYMOVE | MREMAP_FIXED,
			   from) == from, "mremap() back");
	return true;
}

static bool protect(void *mem)
{
	size_t page = random_page();
	size_t size = (NR_PAGES - page) * PAGE_SIZE;
	void *from = mem + page * PAGE_SIZE;

	TEST_ASSERT(!mprotect(from, size, PROT_READ), "mprotect()");
	usleep(500);
	TEST_ASSERT(!mprotect(from, size, PROT_NONE), "mprotect()");
	usleep(500);
	TEST_ASSERT(!mprotect(from, size, PROT_READ | PROT_WRITE),
		    "mprotect()");
	return true;
}

/* From node to node; with one node there is only compaction. */
static bool migrate(void *mem)
{
	static int node;
	void *pages[NR_PAGES];
	int nodes[NR_PAGES], status[NR_PAGES];

	if (!is_multi_numa_node_system())
		return write_file("/proc/sys/vm/compact_memory", "1");

	node = !node;
	for (size_t i = 0; i < NR_PAGES; i++) {
		pages[i] = mem + i * PAGE_SIZE;
		nodes[i] = node;
	}
	TEST_ASSERT(move_pages(0, NR_PAGES, pages, nodes, status,
			       MPOL_MF_MOVE) >= 0, "move_pages()");
	return true;
}

static long ksm_value(const char *file)
{
	char text[32];

	return read_file(file, text, sizeof(text)) ? atol(text) : -1;
}

/* Let ksmd go through the memory once more. */
static bool merge(void *mem)
{
	long scans = ksm_value(KSM("full_scans"));

	if (scans < 0 || !write_file(KSM("sleep_millisecs"), "1") ||
	    !write_file(KSM("pages_to_scan"), "2000") ||
	    !write_file(KSM("run"), "1"))
		return false;
	kvm_madvise(mem, TEST_SIZE, MADV_MERGEABLE);
	for (int i = 0; i < 500 && ksm_value(KSM("full_scans")) < scans + 2; i++)
		usleep(2000);
	return true;
}

/* A child has the memory as it was when it was born, whatever the guest does. */
static bool fork_child(void *mem)
{
	int status;
	pid_t pid = fork();

	TEST_ASSERT(pid >= 0, "fork()");
	if (!pid) {
		static u64 seen[NR_PAGES];
		bool same = true;

		for (size_t i = 0; i < NR_PAGES; i++)
			seen[i] = *(u64 *)(mem + i * PAGE_SIZE);
		usleep(5000);
		for (size_t i = 0; i < NR_PAGES; i++)
			same &= seen[i] == *(u64 *)(mem + i * PAGE_SIZE);
		_exit(!same);
	}
	TEST_ASSERT(waitpid(pid, &status, 0) == pid, "waitpid()");
	TEST_ASSERT(!status, "a child saw what the guest wrote after fork()");
	return true;
}

static void disturb(struct __test_metadata *_metadata,
		    FIXTURE_DATA(storm) * self, int rounds,
		    bool (*how)(void *mem))
{
	bool can = true;

	start_guests(self, guest_verify);
	for (int i = 0; can && i < rounds; i++)
		can = how(self->mem);
	stop_guests(_metadata, self);
	if (!can)
		SKIP(return, "the host can't do that");
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
	start_guests(self, guest_verify);
	for (int i = 0; i < variant->rounds; i++) {
		collapse(self->mem);
		vcpu_threads_wait_passes(self->threads, TEST_VCPUS);
		split(self->mem);
	}
	stop_guests(_metadata, self);
}

TEST_F_TIMEOUT(storm, everything, TEST_TIMEOUT_LONG)
{
	static bool (*const all[])(void *mem) = {
		collapse, split, page_out, move, protect, migrate, fork_child,
	};

	start_guests(self, guest_verify);
	for (int i = 0; i < 2 * variant->rounds; i++)
		all[kvm_random_u64_in_range(&kvm_rng, 0,
					    ARRAY_SIZE(all) - 1)](self->mem);
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
