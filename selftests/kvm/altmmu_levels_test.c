// SPDX-License-Identifier: GPL-2.0
/*
 * At which level memory of each kind is mapped, as the VM's statistics tell.
 */
#include "altmmu_fixture.h"

#define NR_HUGE		4
#define TEST_SIZE	(NR_HUGE * SZ_2M)
#define NR_SMALL	(TEST_SIZE / PAGE_SIZE)

static struct kvm_vcpu *create_vcpu(u64 mmu)
{
	struct kvm_vcpu *vcpu;

	mmu_create_with_vcpus(mmu, 1, guest_touch, &vcpu);
	return vcpu;
}

static void add_memory(struct kvm_vm *vm, enum vm_mem_backing_src_type backing,
		       u64 size, u32 flags)
{
	vm_userspace_mem_region_add(vm, backing, TEST_GPA, TEST_SLOT,
				    size / PAGE_SIZE, flags);
	virt_map_level(vm, TEST_GPA, TEST_GPA, size, PG_LEVEL_2M);
}

/*
 * How many small pages are mapped in the test's slot: so many are lost when the
 * host drops its memory.
 */
static u64 small_pages_of(struct kvm_vm *vm, void *mem, size_t size)
{
	u64 before = vm_get_stat(vm, pages_4k);

	kvm_madvise(mem, size, MADV_DONTNEED);
	return before - vm_get_stat(vm, pages_4k);
}

static void expect_small(struct __test_metadata *_metadata,
			 struct kvm_vcpu *vcpu,
			 enum vm_mem_backing_src_type backing)
{
	struct kvm_vm *vm = vcpu->vm;

	add_memory(vm, backing, TEST_SIZE, 0);
	touch_memory(vcpu, TEST_GPA, TEST_SIZE, true);
	EXPECT_EQ(0, vm_get_stat(vm, pages_2m));
	EXPECT_EQ(0, vm_get_stat(vm, pages_1g));
	EXPECT_EQ(NR_SMALL, small_pages_of(vm, addr_gpa2hva(vm, TEST_GPA),
					   TEST_SIZE));
}

TEST_F_TIMEOUT(mmu, anonymous, TEST_TIMEOUT_LONG)
{
	struct kvm_vcpu *vcpu = create_vcpu(variant->mmu);

	self->vm = vcpu->vm;
	expect_small(_metadata, vcpu, VM_MEM_SRC_ANONYMOUS);
}

TEST_F_TIMEOUT(mmu, memfd, TEST_TIMEOUT_LONG)
{
	struct kvm_vcpu *vcpu = create_vcpu(variant->mmu);

	self->vm = vcpu->vm;
	expect_small(_metadata, vcpu, VM_MEM_SRC_SHMEM);
}

TEST_F_TIMEOUT(mmu, thp, TEST_TIMEOUT_LONG)
{
	struct kvm_vcpu *vcpu = create_vcpu(variant->mmu);
	void *mem;

	self->vm = vcpu->vm;
	mem = add_thp_slot(self->vm, TEST_GPA, TEST_SLOT, TEST_SIZE);
	if (!mem)
		SKIP(return, "the host has no huge pages");
	touch_memory(vcpu, TEST_GPA, TEST_SIZE, true);
	EXPECT_EQ(NR_HUGE, vm_get_stat(self->vm, pages_2m));
	EXPECT_EQ(0, small_pages_of(self->vm, mem, TEST_SIZE));
	EXPECT_EQ(0, vm_get_stat(self->vm, pages_2m));
}

/* Reading alone maps huge too. */
TEST_F_TIMEOUT(mmu, thp_read, TEST_TIMEOUT_LONG)
{
	struct kvm_vcpu *vcpu = create_vcpu(variant->mmu);

	self->vm = vcpu->vm;
	if (!add_thp_slot(self->vm, TEST_GPA, TEST_SLOT, TEST_SIZE))
		SKIP(return, "the host has no huge pages");
	touch_memory(vcpu, TEST_GPA, TEST_SIZE, false);
	EXPECT_EQ(NR_HUGE, vm_get_stat(self->vm, pages_2m));
}

TEST_F_TIMEOUT(mmu, thp_readonly_slot, TEST_TIMEOUT_LONG)
{
	struct kvm_vcpu *vcpu = create_vcpu(variant->mmu);
	void *mem;

	self->vm = vcpu->vm;
	if (!thp_configured())
		SKIP(return, "the host has no huge pages");
	add_memory(self->vm, VM_MEM_SRC_ANONYMOUS_THP, TEST_SIZE,
		   KVM_MEM_READONLY);
	mem = addr_gpa2hva(self->vm, TEST_GPA);
	memset(mem, 0, TEST_SIZE);
	if (!is_all_huge(mem, TEST_SIZE))
		SKIP(return, "the host has no huge pages");
	touch_memory(vcpu, TEST_GPA, TEST_SIZE, false);
	EXPECT_EQ(NR_HUGE, vm_get_stat(self->vm, pages_2m));
}

/* Where the host maps a huge page in small pieces, so does the guest. */
TEST_F_TIMEOUT(mmu, thp_host_maps_small, TEST_TIMEOUT_LONG)
{
	struct kvm_vcpu *vcpu = create_vcpu(variant->mmu);
	void *mem;

	self->vm = vcpu->vm;
	mem = add_thp_slot(self->vm, TEST_GPA, TEST_SLOT, TEST_SIZE);
	if (!mem)
		SKIP(return, "the host has no huge pages");
	ASSERT_EQ(0, mprotect(mem + SZ_2M, PAGE_SIZE, PROT_READ));
	ASSERT_EQ(0, mprotect(mem + SZ_2M, PAGE_SIZE, PROT_READ | PROT_WRITE));
	touch_memory(vcpu, TEST_GPA, TEST_SIZE, true);
	EXPECT_EQ(NR_HUGE - 1, vm_get_stat(self->vm, pages_2m));
	EXPECT_EQ(SZ_2M / PAGE_SIZE, small_pages_of(self->vm, mem, TEST_SIZE));
}

/* What is aligned for the guest has to be aligned for the host as well. */
TEST_F_TIMEOUT(mmu, thp_misaligned, TEST_TIMEOUT_LONG)
{
	struct kvm_vcpu *vcpu = create_vcpu(variant->mmu);
	const u64 size = TEST_SIZE - SZ_2M;
	void *mem;

	self->vm = vcpu->vm;
	mem = add_thp_slot(self->vm, TEST_GPA, TEST_SLOT, TEST_SIZE);
	if (!mem)
		SKIP(return, "the host has no huge pages");
	vm_set_user_memory_region(self->vm, TEST_SLOT + 1, 0,
				  TEST_GPA + SZ_1G, size, mem + PAGE_SIZE);
	virt_map_level(self->vm, TEST_GPA + SZ_1G, TEST_GPA + SZ_1G, size,
		       PG_LEVEL_2M);
	touch_memory(vcpu, TEST_GPA + SZ_1G, size, true);
	EXPECT_EQ(0, vm_get_stat(self->vm, pages_2m));
	EXPECT_EQ(size / PAGE_SIZE, small_pages_of(self->vm, mem, TEST_SIZE));
}

/* A huge page that is only partly in the slot is mapped in small ones. */
TEST_F_TIMEOUT(mmu, thp_slot_ends_inside, TEST_TIMEOUT_LONG)
{
	struct kvm_vcpu *vcpu = create_vcpu(variant->mmu);
	const u64 size = TEST_SIZE - 2 * PAGE_SIZE;
	const u64 gpa = TEST_GPA + SZ_1G + PAGE_SIZE;
	void *mem;

	self->vm = vcpu->vm;
	mem = add_thp_slot(self->vm, TEST_GPA, TEST_SLOT, TEST_SIZE);
	if (!mem)
		SKIP(return, "the host has no huge pages");
	vm_set_user_memory_region(self->vm, TEST_SLOT + 1, 0, gpa, size,
				  mem + PAGE_SIZE);
	virt_map(self->vm, gpa, gpa, size / PAGE_SIZE);
	touch_memory(vcpu, gpa, size, true);
	EXPECT_EQ(NR_HUGE - 2, vm_get_stat(self->vm, pages_2m));
	EXPECT_EQ(2 * (SZ_2M / PAGE_SIZE - 1),
		  small_pages_of(self->vm, mem, TEST_SIZE));
}

static long count_free(const char *size)
{
	char path[96], text[32];

	snprintf(path, sizeof(path),
		 "/sys/kernel/mm/hugepages/hugepages-%s/free_hugepages", size);
	return read_file(path, text, sizeof(text)) ? atol(text) : 0;
}

TEST_F_TIMEOUT(mmu, hugetlb_2m, TEST_TIMEOUT_LONG)
{
	struct kvm_vcpu *vcpu = create_vcpu(variant->mmu);

	self->vm = vcpu->vm;
	if (count_free("2048kB") < NR_HUGE)
		SKIP(return, "fewer than %d hugetlb pages of 2M", NR_HUGE);
	add_memory(self->vm, VM_MEM_SRC_ANONYMOUS_HUGETLB_2MB, TEST_SIZE, 0);
	touch_memory(vcpu, TEST_GPA, TEST_SIZE, true);
	EXPECT_EQ(NR_HUGE, vm_get_stat(self->vm, pages_2m));
}

TEST_F_TIMEOUT(mmu, hugetlb_1g, TEST_TIMEOUT_LONG)
{
	struct kvm_vcpu *vcpu = create_vcpu(variant->mmu);

	self->vm = vcpu->vm;
	if (!kvm_cpu_has(X86_FEATURE_GBPAGES))
		SKIP(return, "the CPU has no pages of 1G");
	if (count_free("1048576kB") < 1)
		SKIP(return, "no hugetlb page of 1G");
	add_memory(self->vm, VM_MEM_SRC_ANONYMOUS_HUGETLB_1GB, SZ_1G, 0);
	touch_memory(vcpu, TEST_GPA, TEST_SIZE, true);
	EXPECT_EQ(1, vm_get_stat(self->vm, pages_1g));
	EXPECT_EQ(0, vm_get_stat(self->vm, pages_2m));
}

/* guest_memfd has small pages, also where user space maps it. */
TEST_F_TIMEOUT(mmu, guest_memfd, TEST_TIMEOUT_LONG)
{
	struct kvm_vcpu *vcpu = create_vcpu(variant->mmu);
	const u64 flags = GUEST_MEMFD_FLAG_MMAP | GUEST_MEMFD_FLAG_INIT_SHARED;
	struct kvm_vm *vm = vcpu->vm;
	u64 before;
	void *mem;
	int fd;

	self->vm = vm;
	if ((vm_check_cap(vm, KVM_CAP_GUEST_MEMFD_FLAGS) & flags) != flags)
		SKIP(return, "no guest_memfd that user space can map");
	fd = vm_create_guest_memfd(vm, TEST_SIZE, flags);
	mem = kvm_mmap(TEST_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
	vm_set_user_memory_region2(vm, TEST_SLOT, KVM_MEM_GUEST_MEMFD, TEST_GPA,
				   TEST_SIZE, mem, fd, 0);
	virt_map_level(vm, TEST_GPA, TEST_GPA, TEST_SIZE, PG_LEVEL_2M);

	touch_memory(vcpu, TEST_GPA, TEST_SIZE, true);
	EXPECT_EQ(0, vm_get_stat(vm, pages_2m));
	before = vm_get_stat(vm, pages_4k);
	kvm_fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
		      TEST_SIZE);
	EXPECT_EQ(NR_SMALL, before - vm_get_stat(vm, pages_4k));
	kvm_munmap(mem, TEST_SIZE);
	kvm_close(fd);
}

int main(int argc, char *argv[])
{
	mmu_require_altmmu();
	return test_harness_run(argc, argv);
}
