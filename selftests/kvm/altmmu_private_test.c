// SPDX-License-Identifier: GPL-2.0
/*
 * Private and shared memory of a soft-mirror VM, one access at a time: which of
 * a page's two contents the guest gets, and when it gets neither.
 */
#include <string.h>

#include "kselftest_harness.h"
#include "altmmu_private.h"

#define TEST_SIZE	SZ_4M
#define NR_PAGES	(TEST_SIZE / PAGE_SIZE)
#define MAX_LOOKS	10

#define NX_HUGE_PAGES	KVM_PARAM("nx_huge_pages")

/* No memory is there. */
#define MMIO_GPA	(TEST_GPA + SZ_1G)

FIXTURE(access) {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu;
	struct guest_request *request;
	u64 *mem;
};

FIXTURE_SETUP(access)
{
	self->vm = private_create_serving(0, KVM_X86_SOFT_MIRROR_AUTO_ACCEPT,
					  &self->vcpu);
	self->request = host_request(self->vm);
	self->mem = private_add_memory(self->vm, TEST_GPA, TEST_SLOT,
				       TEST_SIZE);
	private_map_views(self->vm, TEST_GPA, TEST_SIZE, PG_LEVEL_4K);
}

FIXTURE_TEARDOWN(access)
{
	kvm_vm_free(self->vm);
}

/* Each of a page's contents is there when it is the page's turn. */
TEST_F(access, two_contents)
{
	const u64 word = 3 * PAGE_SIZE / sizeof(u64);

	EXPECT_EQ(0, shared_word(self->vcpu, 3, 0xaaaa));
	EXPECT_EQ(0xaaaa, self->mem[word]);

	vm_mem_set_private(self->vm, TEST_GPA, TEST_SIZE);
	EXPECT_EQ(0, private_word(self->vcpu, 3, 0xbbbb));
	EXPECT_EQ(0xaaaa, self->mem[word]);

	vm_mem_set_shared(self->vm, TEST_GPA, TEST_SIZE);
	EXPECT_EQ(0xaaaa, shared_word(self->vcpu, 3, 0xcccc));
	vm_mem_set_private(self->vm, TEST_GPA, TEST_SIZE);
	EXPECT_EQ(0xbbbb, private_word(self->vcpu, 3, 0));
	vm_mem_set_shared(self->vm, TEST_GPA, TEST_SIZE);
	EXPECT_EQ(0xcccc, shared_word(self->vcpu, 3, 0));
}

/* Private memory is not shared for who leaves out the bit, and the other way. */
TEST_F(access, wrong_view)
{
	*self->request = (struct guest_request) { .gva = PAGE_GPA(3) };
	EXPECT_TRUE(exits_at(self->vcpu, PAGE_GPA(3), true));
	EXPECT_TRUE(exits_at(self->vcpu, PAGE_GPA(3), true));
	vm_mem_set_private(self->vm, PAGE_GPA(3), PAGE_SIZE);
	run_until_sync(self->vcpu);

	*self->request = (struct guest_request) {
		.gva = SHARED_VIEW + PAGE_GPA(3),
	};
	EXPECT_TRUE(exits_at(self->vcpu, PAGE_GPA(3), false));
	EXPECT_TRUE(exits_at(self->vcpu, PAGE_GPA(3), false));
	vm_mem_set_shared(self->vm, PAGE_GPA(3), PAGE_SIZE);
	run_until_sync(self->vcpu);
}

/* Also when both views have been used, so that tables are there. */
TEST_F(access, wrong_view_after_use)
{
	for (int i = 0; i < 2; i++) {
		EXPECT_EQ(0, shared_word(self->vcpu, 4, 0));
		*self->request = (struct guest_request) { .gva = PAGE_GPA(4) };
		EXPECT_TRUE(exits_at(self->vcpu, PAGE_GPA(4), true));
		vm_mem_set_private(self->vm, TEST_GPA, TEST_SIZE);
		run_until_sync(self->vcpu);

		*self->request = (struct guest_request) {
			.gva = SHARED_VIEW + PAGE_GPA(4),
		};
		EXPECT_TRUE(exits_at(self->vcpu, PAGE_GPA(4), false));
		vm_mem_set_shared(self->vm, TEST_GPA, TEST_SIZE);
		run_until_sync(self->vcpu);
	}
}

/* Where no memory is, nobody sees which view it was. */
TEST_F(access, mmio)
{
	struct kvm_run *run = self->vcpu->run;
	const u64 data = MMIO_DATA;

	private_map_views(self->vm, MMIO_GPA, PAGE_SIZE, PG_LEVEL_4K);
	for (int shared = 0; shared < 2; shared++) {
		*self->request = (struct guest_request) {
			.gva = MMIO_GPA + 8 + shared * SHARED_VIEW,
		};
		vcpu_run(self->vcpu);
		TEST_ASSERT_KVM_EXIT_REASON(self->vcpu, KVM_EXIT_MMIO);
		EXPECT_EQ(MMIO_GPA + 8, run->mmio.phys_addr);
		EXPECT_EQ(0, run->mmio.is_write);
		memcpy(run->mmio.data, &data, sizeof(data));
		run_until_sync(self->vcpu);
		EXPECT_EQ(data, self->request->found);
		/* What is known of it now makes it no memory. */
		EXPECT_EQ(-1, private_pre_fault(self->vcpu, MMIO_GPA, PAGE_SIZE));
		EXPECT_EQ(ENOENT, errno);
	}
}

/*
 * A slot without private memory: what the guest does there privately is emulated,
 * whatever the attributes say, and not mapped.
 */
TEST_F(access, slot_without_guest_memfd)
{
	const gpa_t gpa = TEST_GPA + SZ_2G;
	struct provider_counts before, after;

	vm_userspace_mem_region_add(self->vm, VM_MEM_SRC_ANONYMOUS, gpa,
				    TEST_SLOT + 1, 1, 0);
	private_map_views(self->vm, gpa, PAGE_SIZE, PG_LEVEL_4K);
	EXPECT_EQ(0, exchange(self->vcpu, SHARED_VIEW + gpa, 0xaaaa));
	provider_read(self->vm, &before);
	EXPECT_EQ(0xaaaa, exchange(self->vcpu, gpa, 0xbbbb));
	vm_mem_set_private(self->vm, gpa, PAGE_SIZE);
	EXPECT_EQ(0xbbbb, exchange(self->vcpu, gpa, 0xcccc));
	provider_read(self->vm, &after);
	EXPECT_EQ(before.map, after.map);

	*self->request = (struct guest_request) { .gva = SHARED_VIEW + gpa };
	EXPECT_TRUE(exits_at(self->vcpu, gpa, false));
	vm_mem_set_shared(self->vm, gpa, PAGE_SIZE);
	run_until_sync(self->vcpu);
	EXPECT_EQ(0xcccc, self->request->found);
}

/* What check_range() has left in private memory. */
static u64 held[NR_PAGES];

/* Pages from @first on are converted, and these alone: the guest looks. */
static void check_range(struct __test_metadata *_metadata,
			struct kvm_vcpu *vcpu, u64 *mem, u64 first, u64 nr)
{
	const u64 start = first > 2 ? first - 2 : 0;
	const u64 end = min_t(u64, first + nr + 2, NR_PAGES);
	struct guest_request *request = host_request(vcpu->vm);
	u64 page;

	for (page = start; page < end; page++)
		mem[page * PAGE_SIZE / sizeof(u64)] = 2 * page + 1;

	vm_mem_set_private(vcpu->vm, PAGE_GPA(first), nr * PAGE_SIZE);
	for (page = start; page < end; page++) {
		if (page < first || page >= first + nr) {
			EXPECT_EQ(2 * page + 1, shared_word(vcpu, page, 0));
		} else {
			EXPECT_EQ(held[page],
				  private_word(vcpu, page, 2 * page + 2));
			held[page] = 2 * page + 2;
		}
		/* All at both ends, some between. */
		if (page == first + 2 && nr > 20)
			page = first + nr - 4;
	}

	vm_mem_set_shared(vcpu->vm, PAGE_GPA(first), nr * PAGE_SIZE);
	for (page = start; page < end; page++) {
		EXPECT_EQ(2 * page + 1, shared_word(vcpu, page, 0));
		*request = (struct guest_request) { .gva = PAGE_GPA(page) };
		EXPECT_TRUE(exits_at(vcpu, PAGE_GPA(page), true));
		skip_access(vcpu);
		run_until_sync(vcpu);
		if (page == first + 2 && nr > 20)
			page = first + nr - 4;
	}
}

TEST_F_TIMEOUT(access, convert_4k, TEST_TIMEOUT_LONG)
{
	check_range(_metadata, self->vcpu, self->mem, 5, 1);
	check_range(_metadata, self->vcpu, self->mem, 511, 1);
	check_range(_metadata, self->vcpu, self->mem, 512, 1);
	check_range(_metadata, self->vcpu, self->mem, NR_PAGES - 1, 1);
}

TEST_F_TIMEOUT(access, convert_2m, TEST_TIMEOUT_LONG)
{
	check_range(_metadata, self->vcpu, self->mem, 512, 512);
}

/* A range with 2M in its middle and less at both ends. */
TEST_F_TIMEOUT(access, convert_mixed, TEST_TIMEOUT_LONG)
{
	check_range(_metadata, self->vcpu, self->mem, 300, 600);
	check_range(_metadata, self->vcpu, self->mem, 0, NR_PAGES);
	check_range(_metadata, self->vcpu, self->mem, 1, NR_PAGES - 2);
}

/* Every other page is private, then every other. */
TEST_F_TIMEOUT(access, convert_alternating, TEST_TIMEOUT_LONG)
{
	u64 page;

	for (page = 480; page < 544; page++)
		self->mem[page * PAGE_SIZE / sizeof(u64)] = page;
	for (u64 odd = 0; odd < 2; odd++) {
		for (page = 480; page < 544; page++)
			vm_set_memory_attributes(self->vm, PAGE_GPA(page),
						 PAGE_SIZE,
						 (page & 1) == odd ?
						 KVM_MEMORY_ATTRIBUTE_PRIVATE : 0);
		for (page = 480; page < 544; page++) {
			bool private = (page & 1) == odd;

			EXPECT_EQ(private ? 0 : page,
				  private ? private_word(self->vcpu, page, 0) :
					    shared_word(self->vcpu, page, 0));
		}
	}
}

/* What is in a hole is gone; what is beside it stays. */
TEST_F(access, punch_hole)
{
	struct provider_counts before, after;

	vm_mem_set_private(self->vm, TEST_GPA, TEST_SIZE);
	for (u64 page = 3; page < 6; page++)
		EXPECT_EQ(0, private_word(self->vcpu, page, page));

	provider_read(self->vm, &before);
	vm_guest_mem_punch_hole(self->vm, PAGE_GPA(4), PAGE_SIZE);
	provider_read(self->vm, &after);
	EXPECT_EQ(before.remove + 1, after.remove);
	EXPECT_EQ(3, private_word(self->vcpu, 3, 0));
	EXPECT_EQ(0, private_word(self->vcpu, 4, 0));
	EXPECT_EQ(5, private_word(self->vcpu, 5, 0));
}

/* Where memory is shared a hole in what is private is no matter. */
TEST_F(access, punch_hole_shared)
{
	EXPECT_EQ(0, shared_word(self->vcpu, 3, 0xaaaa));
	vm_guest_mem_punch_hole(self->vm, TEST_GPA, TEST_SIZE);
	EXPECT_EQ(0xaaaa, shared_word(self->vcpu, 3, 0));
}

/*
 * The program's memory can be mapped by the host, and a hole in it must be one
 * for the guest as well, or it would go on in a page that is somebody else's.
 */
TEST_F(access, punch_hole_mapped)
{
	const u64 size = SZ_2M;
	const gpa_t gpa = TEST_GPA + SZ_2G;
	u64 *mem;
	int fd;

	mem = private_add_mapped(self->vm, gpa, TEST_SLOT + 1, size, &fd);
	virt_map(self->vm, gpa, gpa, size / PAGE_SIZE);

	mem[0] = 0xaaaa;
	EXPECT_EQ(0xaaaa, exchange(self->vcpu, gpa, 0xbbbb));
	EXPECT_EQ(0xbbbb, mem[0]);
	kvm_fallocate(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, 0, size);
	EXPECT_EQ(0, exchange(self->vcpu, gpa, 0xcccc));
	EXPECT_EQ(0xcccc, mem[0]);

	/* Nor may it keep the page when all files are closed. */
	kvm_munmap(mem, size);
	kvm_close(fd);
	*self->request = (struct guest_request) { .gva = gpa };
	EXPECT_TRUE(exits_at(self->vcpu, gpa, true));
}

/*
 * The same if the file's memory is said to be shared, but nobody can map it, and
 * what is shared is elsewhere.
 */
TEST_F(access, punch_hole_init_shared)
{
	const u64 size = SZ_2M;
	const gpa_t gpa = TEST_GPA + SZ_2G;
	struct provider_counts before, after;
	u64 *mem;
	int fd;

	fd = vm_create_guest_memfd(self->vm, size, GUEST_MEMFD_FLAG_INIT_SHARED);
	mem = kvm_mmap(size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		       -1);
	vm_set_user_memory_region2(self->vm, TEST_SLOT + 1, KVM_MEM_GUEST_MEMFD,
				   gpa, size, mem, fd, 0);
	private_map_views(self->vm, gpa, size, PG_LEVEL_4K);
	EXPECT_EQ(0, exchange(self->vcpu, SHARED_VIEW + gpa, 0xaaaa));
	vm_mem_set_private(self->vm, gpa, size);

	EXPECT_EQ(0, exchange(self->vcpu, gpa, 0xbbbb));
	provider_read(self->vm, &before);
	kvm_fallocate(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, 0, size);
	provider_read(self->vm, &after);
	EXPECT_EQ(before.remove + 1, after.remove);
	EXPECT_EQ(0, exchange(self->vcpu, gpa, 0xcccc));
	EXPECT_EQ(0xaaaa, mem[0]);

	kvm_close(fd);
	provider_read(self->vm, &before);
	EXPECT_EQ(after.remove + 1, before.remove);
	*self->request = (struct guest_request) { .gva = gpa };
	EXPECT_TRUE(exits_at(self->vcpu, gpa, true));
	kvm_munmap(mem, size);
}

/* What is pre-faulted costs the guest no fault. */
TEST_F_TIMEOUT(access, pre_fault, TEST_TIMEOUT_LONG)
{
	struct provider_counts before, after;
	u64 faults;

	vm_mem_set_private(self->vm, TEST_GPA, TEST_SIZE);
	provider_read(self->vm, &before);
	ASSERT_EQ(0, private_pre_fault(self->vcpu, TEST_GPA, TEST_SIZE));
	provider_read(self->vm, &after);
	EXPECT_EQ(before.map + NR_PAGES, after.map);

	run_until_sync(self->vcpu);
	faults = vcpu_get_stat(self->vcpu, pf_taken);
	for (u64 page = 0; page < NR_PAGES; page += 7)
		EXPECT_EQ(0, private_word(self->vcpu, page, page));
	EXPECT_EQ(faults, vcpu_get_stat(self->vcpu, pf_taken));

	/* It is there already. */
	provider_read(self->vm, &before);
	ASSERT_EQ(0, private_pre_fault(self->vcpu, TEST_GPA, TEST_SIZE));
	provider_read(self->vm, &after);
	EXPECT_EQ(before.map, after.map);
}

/* A slot that goes takes its private pages with it. */
TEST_F(access, delete_slot)
{
	struct provider_counts before, after;

	vm_mem_set_private(self->vm, TEST_GPA, TEST_SIZE);
	EXPECT_EQ(0, private_word(self->vcpu, 3, 0xaaaa));
	provider_read(self->vm, &before);
	vm_mem_region_delete(self->vm, TEST_SLOT);
	provider_read(self->vm, &after);
	EXPECT_LE(before.remove + 1, after.remove);

	/* And a new one has new pages. */
	self->mem = private_add_memory(self->vm, TEST_GPA, TEST_SLOT,
				       TEST_SIZE);
	EXPECT_EQ(0, private_word(self->vcpu, 3, 0));
}

/*
 * Mark two pages of the host's as idle, use both, the first as private memory, and
 * look.  False if the host has moved one meanwhile: then what is seen says nothing.
 */
static bool look(struct __test_metadata *_metadata, struct kvm_vcpu *vcpu, int bitmap,
		 void *mem)
{
	bool was_idle[2], is_idle[2];
	u64 pfns[2];

	private_word(vcpu, 3, 0xaaaa);
	shared_word(vcpu, 5, 0xcccc);
	ASSERT_TRUE(pages_settle(mem, 2, 2 * PAGE_SIZE, pfns));
	for (int i = 0; i < 2; i++)
		idle_mark(bitmap, pfns[i]);
	for (int i = 0; i < 2; i++)
		was_idle[i] = idle_is(bitmap, pfns[i]);
	EXPECT_EQ(0xaaaa, private_word(vcpu, 3, 0xdddd));
	EXPECT_EQ(0xcccc, shared_word(vcpu, 5, 0));
	for (int i = 0; i < 2; i++)
		is_idle[i] = idle_is(bitmap, pfns[i]);
	if (!pages_stay(mem, 2, 2 * PAGE_SIZE, pfns))
		return false;

	EXPECT_TRUE(was_idle[0]);
	EXPECT_TRUE(was_idle[1]);
	EXPECT_TRUE(is_idle[0]);
	EXPECT_FALSE(is_idle[1]);
	return true;
}

/*
 * Who looks whether the host's memory is used learns nothing of private memory, and
 * does nothing to it.  Nor does dirty logging.
 */
TEST_F(access, host_looks)
{
	void *private = (void *)self->mem + 3 * PAGE_SIZE;
	void *shared = (void *)self->mem + 5 * PAGE_SIZE;
	struct userspace_mem_region *region;
	struct provider_counts before, after;
	int bitmap = idle_open();
	int tries = 0;

	if (bitmap < 0)
		SKIP(return, "no permission, or no CONFIG_IDLE_PAGE_TRACKING");
	*(u64 *)private = 1;
	*(u64 *)shared = 0xbbbb;
	vm_mem_set_private(self->vm, PAGE_GPA(3), PAGE_SIZE);
	EXPECT_EQ(0, private_word(self->vcpu, 3, 0));
	EXPECT_EQ(0xbbbb, shared_word(self->vcpu, 5, 0));

	provider_read(self->vm, &before);
	do {
		ASSERT_GT(MAX_LOOKS, tries++);
	} while (!look(_metadata, self->vcpu, bitmap, private));
	close(bitmap);

	region = memslot2region(self->vm, TEST_SLOT);
	EXPECT_EQ(-1, __vm_set_user_memory_region2(self->vm, TEST_SLOT,
						   KVM_MEM_GUEST_MEMFD |
						   KVM_MEM_LOG_DIRTY_PAGES,
						   TEST_GPA, TEST_SIZE, self->mem,
						   region->region.guest_memfd,
						   0));
	EXPECT_EQ(EINVAL, errno);
	provider_read(self->vm, &after);
	EXPECT_EQ(0, memcmp(&before, &after, sizeof(before)));
	EXPECT_EQ(0xdddd, private_word(self->vcpu, 3, 0));
}

/* The same, with the shared bit at different places. */
FIXTURE(bit) {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu;
	struct guest_request *request;
};

FIXTURE_VARIANT(bit) {
	u64 bit;
};

/* The private root is one entry of the table that the bit selects from... */
FIXTURE_VARIANT_ADD(bit, alone) {
	.bit = 39,
};

/* ...or many, at a level below. */
FIXTURE_VARIANT_ADD(bit, half_a_table) {
	.bit = 38,
};

FIXTURE_VARIANT_ADD(bit, some_entries) {
	.bit = 34,
};

FIXTURE_SETUP(bit)
{
	self->vm = private_create_serving(variant->bit,
					  KVM_X86_SOFT_MIRROR_AUTO_ACCEPT,
					  &self->vcpu);
	self->request = host_request(self->vm);
}

FIXTURE_TEARDOWN(bit)
{
	kvm_vm_free(self->vm);
}

TEST_F(bit, at_its_place)
{
	const u64 bit = BIT_ULL(variant->bit);
	/* In either view: there are addresses that not every CPU has. */
	const u64 end = (self->vm->max_gfn + 1) * PAGE_SIZE;
	const gpa_t last = align_down(min(bit, end - bit) - SZ_2M, SZ_2M);
	u64 *mem;

	ASSERT_EQ(variant->bit, private_shared_bit(self->vm));
	mem = private_add_memory(self->vm, last, TEST_SLOT, SZ_2M);
	private_map_views(self->vm, last, SZ_2M, PG_LEVEL_4K);

	EXPECT_EQ(0, exchange(self->vcpu, SHARED_VIEW + last, 0xaaaa));
	EXPECT_EQ(0xaaaa, mem[0]);
	*self->request = (struct guest_request) { .gva = last };
	EXPECT_TRUE(exits_at(self->vcpu, last, true));
	vm_mem_set_private(self->vm, last, SZ_2M);
	run_until_sync(self->vcpu);
	EXPECT_EQ(0, exchange(self->vcpu, last, 0xbbbb));
	EXPECT_EQ(0xaaaa, mem[0]);
	vm_mem_set_shared(self->vm, last, SZ_2M);
	EXPECT_EQ(0xaaaa, exchange(self->vcpu, SHARED_VIEW + last, 0));
	vm_mem_set_private(self->vm, last, SZ_2M);
	EXPECT_EQ(0xbbbb, exchange(self->vcpu, last, 0));
}

/*
 * What makes other VMs lose their page tables unmaps what is shared, which is mapped
 * again when it is used, and leaves what is private as it is.
 */
TEST_F(access, nx_huge_pages)
{
	static const char * const values[] = { "force", "off" };
	struct provider_counts before, after;
	const u64 nr_private = SZ_2M / PAGE_SIZE, shared = nr_private + 3;

	if (!write_file(NX_HUGE_PAGES, "off"))
		SKIP(return, "no permission to write " NX_HUGE_PAGES);
	vm_mem_set_private(self->vm, TEST_GPA, SZ_2M);
	for (u64 page = 0; page < nr_private; page += 64)
		EXPECT_EQ(0, private_word(self->vcpu, page, page + 1));
	EXPECT_EQ(0, shared_word(self->vcpu, shared, 0xaaaa));
	provider_read(self->vm, &before);

	for (int i = 0; i < ARRAY_SIZE(values); i++) {
		EXPECT_LT(0, vm_get_stat(self->vm, pages_4k));
		ASSERT_TRUE(write_file(NX_HUGE_PAGES, values[i]));
		EXPECT_EQ(0, vm_get_stat(self->vm, pages_4k));
		private_check_mirror(self->vm);
		for (u64 page = 0; page < nr_private; page += 64)
			EXPECT_EQ(page + 1, private_word(self->vcpu, page, 0));
		EXPECT_EQ(0xaaaa, shared_word(self->vcpu, shared, 0));
	}
	provider_read(self->vm, &after);
	EXPECT_EQ(before.map, after.map);
	EXPECT_EQ(before.link, after.link);
	EXPECT_EQ(before.block, after.block);
	EXPECT_EQ(before.track, after.track);
	EXPECT_EQ(before.kicks, after.kicks);
}

int main(int argc, char *argv[])
{
	private_require();
	keep_file(NX_HUGE_PAGES);
	return test_harness_run(argc, argv);
}
