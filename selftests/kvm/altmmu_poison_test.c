// SPDX-License-Identifier: GPL-2.0
/*
 * Memory that has failed: a vCPU that touches a poisoned page gets no further,
 * user space is told which page it was, and the VM goes on with the others, and
 * with that one too when it has been replaced.
 *
 * The host does without these pages from then on, until it boots again.
 */
#include <signal.h>

#include "altmmu_fixture.h"
#include "altmmu_private.h"

#define TEST_SIZE	SZ_2M
#define NR_PAGES	(TEST_SIZE / PAGE_SIZE)

/* The one that fails. */
#define POISONED	(NR_PAGES / 2 + 1)
#define POISONED_GPA	(TEST_GPA + POISONED * PAGE_SIZE)

/* What a SIGBUS said; a handler writes it in between of system calls. */
static struct {
	int count;
	int code;
	void *address;
	int lsb;
} sigbus;

/* What the test itself touches would be tried again for ever. */
#define MAX_SIGBUS	16

static void record_sigbus(int signal, siginfo_t *info, void *context)
{
	if (++sigbus.count > MAX_SIGBUS)
		_exit(KSFT_FAIL);
	sigbus.code = info->si_code;
	sigbus.address = info->si_addr;
	sigbus.lsb = info->si_addr_lsb;
}

static void catch_sigbus(void)
{
	const struct sigaction action = {
		.sa_sigaction = record_sigbus,
		.sa_flags = SA_SIGINFO,
	};

	TEST_ASSERT(!sigaction(SIGBUS, &action, NULL), "sigaction()");
}

static u64 *word_of(void *mem, u64 page)
{
	return mem + page * PAGE_SIZE;
}

/* Every page gets a word of its own, to which guest_touch() adds one. */
static u64 content(u64 page)
{
	return (page + 1) << 16;
}

static void fill(void *mem)
{
	for (u64 page = 0; page < NR_PAGES; page++)
		*word_of(mem, page) = content(page);
}

/* Returns false, and errno says why, if the host can't or won't. */
static bool poison(void *mem)
{
	return !madvise(word_of(mem, POISONED), PAGE_SIZE, MADV_HWPOISON);
}

static void aim_at_poisoned(struct kvm_vcpu *vcpu)
{
	struct guest_control *control = host_control(vcpu->vm);

	control->start = POISONED_GPA;
	control->nr_pages = 1;
	control->write = true;
}

static void expect_sigbus(struct __test_metadata *_metadata, void *mem)
{
	EXPECT_EQ(1, sigbus.count);
	EXPECT_EQ(BUS_MCEERR_AR, sigbus.code);
	EXPECT_EQ((uintptr_t)word_of(mem, POISONED), (uintptr_t)sigbus.address);
	EXPECT_EQ(PAGE_SHIFT, sigbus.lsb);
}

/* As often as the vCPU tries. */
static void expect_told(struct __test_metadata *_metadata,
			struct kvm_vcpu *vcpu, void *mem)
{
	aim_at_poisoned(vcpu);
	for (int i = 0; i < 2; i++) {
		memset(&sigbus, 0, sizeof(sigbus));
		EXPECT_EQ(-1, __vcpu_run(vcpu));
		EXPECT_EQ(EINTR, errno);
		expect_sigbus(_metadata, mem);
	}
}

/* The other vCPU writes to all pages but the poisoned one. */
static void expect_others(struct __test_metadata *_metadata,
			  struct kvm_vcpu *vcpu, void *mem, u64 writes)
{
	const u64 after = POISONED + 1;

	touch_memory(vcpu, TEST_GPA, POISONED * PAGE_SIZE, true);
	touch_memory(vcpu, TEST_GPA + after * PAGE_SIZE,
		     (NR_PAGES - after) * PAGE_SIZE, true);
	for (u64 page = 0; page < NR_PAGES; page++)
		if (page != POISONED)
			ASSERT_EQ(content(page) + writes, *word_of(mem, page));
}

/* The vCPU goes on where it was, on a page that has nothing of the old one. */
static void expect_replaced(struct __test_metadata *_metadata,
			    struct kvm_vcpu *vcpu, void *mem)
{
	memset(&sigbus, 0, sizeof(sigbus));
	aim_at_poisoned(vcpu);
	run_until_sync(vcpu);
	EXPECT_EQ(1, *word_of(mem, POISONED));
	EXPECT_EQ(0, sigbus.count);
}

static void *create_small(FIXTURE_DATA(mmu) * self, u64 mmu,
			  struct kvm_vcpu *vcpus[])
{
	void *mem;

	self->vm = mmu_create_with_vcpus(mmu, 2, guest_touch, vcpus);
	vm_userspace_mem_region_add(self->vm, VM_MEM_SRC_ANONYMOUS, TEST_GPA,
				    TEST_SLOT, NR_PAGES, 0);
	virt_map(self->vm, TEST_GPA, TEST_GPA, NR_PAGES);
	mem = addr_gpa2hva(self->vm, TEST_GPA);
	fill(mem);
	return mem;
}

#define CANT_POISON	"MADV_HWPOISON: %s", strerror(errno)

/* A page that the guest has mapped is taken from it, and no other is. */
TEST_F_TIMEOUT(mmu, mapped, TEST_TIMEOUT_LONG)
{
	struct kvm_vcpu *vcpus[2];
	void *mem = create_small(self, variant->mmu, vcpus);
	u64 pages;

	/* Each has pages of its own. */
	touch_memory(vcpus[0], TEST_GPA, TEST_SIZE, true);
	touch_memory(vcpus[1], TEST_GPA, TEST_SIZE, true);
	pages = vm_get_stat(self->vm, pages_4k);
	if (!poison(mem))
		SKIP(return, CANT_POISON);
	EXPECT_EQ(pages - 1, vm_get_stat(self->vm, pages_4k));

	expect_told(_metadata, vcpus[0], mem);
	expect_others(_metadata, vcpus[1], mem, 3);
	EXPECT_EQ(pages - 1, vm_get_stat(self->vm, pages_4k));

	kvm_madvise(word_of(mem, POISONED), PAGE_SIZE, MADV_DONTNEED);
	expect_replaced(_metadata, vcpus[0], mem);
	EXPECT_EQ(pages, vm_get_stat(self->vm, pages_4k));
}

/* One that it has never touched is not mapped for it. */
TEST_F_TIMEOUT(mmu, not_mapped, TEST_TIMEOUT_LONG)
{
	struct kvm_vcpu *vcpus[2];
	void *mem = create_small(self, variant->mmu, vcpus);

	if (!poison(mem))
		SKIP(return, CANT_POISON);
	expect_told(_metadata, vcpus[0], mem);
	expect_others(_metadata, vcpus[1], mem, 1);
	kvm_madvise(word_of(mem, POISONED), PAGE_SIZE, MADV_DONTNEED);
	expect_replaced(_metadata, vcpus[0], mem);
}

/* Of a huge page only a part is lost. */
TEST_F_TIMEOUT(mmu, huge, TEST_TIMEOUT_LONG)
{
	struct kvm_vcpu *vcpus[2];
	void *mem;

	self->vm = mmu_create_with_vcpus(variant->mmu, 2, guest_touch, vcpus);
	mem = add_thp_slot(self->vm, TEST_GPA, TEST_SLOT, TEST_SIZE);
	if (!mem)
		SKIP(return, "the host has no huge pages");
	fill(mem);
	touch_memory(vcpus[0], TEST_GPA, TEST_SIZE, true);
	ASSERT_EQ(1, vm_get_stat(self->vm, pages_2m));
	if (!poison(mem))
		SKIP(return, CANT_POISON);
	EXPECT_EQ(0, vm_get_stat(self->vm, pages_2m));

	expect_told(_metadata, vcpus[0], mem);
	expect_others(_metadata, vcpus[1], mem, 2);
	kvm_madvise(word_of(mem, POISONED), PAGE_SIZE, MADV_DONTNEED);
	expect_replaced(_metadata, vcpus[0], mem);
}

/* Who pre-faults is told as well, and does not wait for a page that won't come. */
TEST_F_TIMEOUT(mmu, pre_fault, TEST_TIMEOUT_LONG)
{
	struct kvm_pre_fault_memory range = {
		.gpa = POISONED_GPA - PAGE_SIZE,
		.size = 3 * PAGE_SIZE,
	};
	struct kvm_vcpu *vcpus[2];
	void *mem = create_small(self, variant->mmu, vcpus);

	if (!kvm_check_cap(KVM_CAP_PRE_FAULT_MEMORY))
		SKIP(return, "no KVM_CAP_PRE_FAULT_MEMORY");
	/* The guest's page tables, without which nothing can be mapped. */
	touch_memory(vcpus[0], TEST_GPA, PAGE_SIZE, true);
	if (!poison(mem))
		SKIP(return, CANT_POISON);
	memset(&sigbus, 0, sizeof(sigbus));
	EXPECT_EQ(0, __vcpu_ioctl(vcpus[0], KVM_PRE_FAULT_MEMORY, &range));
	EXPECT_EQ(POISONED_GPA, range.gpa);
	EXPECT_EQ(2 * PAGE_SIZE, range.size);
	expect_sigbus(_metadata, mem);

	memset(&sigbus, 0, sizeof(sigbus));
	EXPECT_EQ(-1, __vcpu_ioctl(vcpus[0], KVM_PRE_FAULT_MEMORY, &range));
	EXPECT_EQ(EINTR, errno);
	EXPECT_EQ(POISONED_GPA, range.gpa);
	expect_sigbus(_metadata, mem);
}

/* Where memory has no address user space is told by the exit. */
TEST_F_TIMEOUT(mmu, guest_memfd, TEST_TIMEOUT_LONG)
{
	const u64 flags = GUEST_MEMFD_FLAG_MMAP | GUEST_MEMFD_FLAG_INIT_SHARED;
	struct kvm_vcpu *vcpus[2];
	struct kvm_run *run;
	struct kvm_vm *vm;
	void *mem;
	u64 pages;
	int fd;

	vm = mmu_create_with_vcpus(variant->mmu, 2, guest_touch, vcpus);
	self->vm = vm;
	if ((vm_check_cap(vm, KVM_CAP_GUEST_MEMFD_FLAGS) & flags) != flags)
		SKIP(return, "no guest_memfd that user space can map");
	fd = vm_create_guest_memfd(vm, TEST_SIZE, flags);
	mem = kvm_mmap(TEST_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
	vm_set_user_memory_region2(vm, TEST_SLOT, KVM_MEM_GUEST_MEMFD, TEST_GPA,
				   TEST_SIZE, mem, fd, 0);
	virt_map(vm, TEST_GPA, TEST_GPA, NR_PAGES);
	fill(mem);
	touch_memory(vcpus[0], TEST_GPA, TEST_SIZE, true);
	pages = vm_get_stat(vm, pages_4k);
	/* A page that guest_memfd keeps counts as one that is still in use. */
	if (!poison(mem) && errno != EBUSY)
		SKIP(return, CANT_POISON);
	EXPECT_EQ(pages - 1, vm_get_stat(vm, pages_4k));

	aim_at_poisoned(vcpus[0]);
	run = vcpus[0]->run;
	for (int i = 0; i < 2; i++) {
		memset(&sigbus, 0, sizeof(sigbus));
		EXPECT_EQ(-1, __vcpu_run(vcpus[0]));
		EXPECT_EQ(EHWPOISON, errno);
		EXPECT_EQ(KVM_EXIT_MEMORY_FAULT, run->exit_reason);
		EXPECT_EQ(POISONED_GPA, run->memory_fault.gpa);
		EXPECT_EQ(PAGE_SIZE, run->memory_fault.size);
		EXPECT_EQ(0, sigbus.count);
	}
	expect_others(_metadata, vcpus[1], mem, 2);

	kvm_fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		      POISONED * PAGE_SIZE, PAGE_SIZE);
	/* For the host's own mapping remembers, too. */
	kvm_madvise(word_of(mem, POISONED), PAGE_SIZE, MADV_DONTNEED);
	expect_replaced(_metadata, vcpus[0], mem);
	kvm_munmap(mem, TEST_SIZE);
	kvm_close(fd);
}

/* Of private pages around one that is mapped, all are but the poisoned one. */
TEST(private_around)
{
	struct provider_counts before, after;
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;
	void *mem;
	int fd;

	if (!private_is_there())
		SKIP(return, "no soft-mirror VMs in this kernel");
	vm = private_create_vm(0, KVM_X86_SOFT_MIRROR_AUTO_ACCEPT);
	private_boot_vm(vm, 1, guest_touch, &vcpu);
	mem = private_add_mapped(vm, TEST_GPA, TEST_SLOT, TEST_SIZE, &fd);
	virt_map(vm, TEST_GPA, TEST_GPA, NR_PAGES);
	fill(mem);
	/* A page that guest_memfd keeps counts as one that is still in use. */
	if (!poison(mem) && errno != EBUSY)
		SKIP(return, CANT_POISON);

	/* The program's own pages are not to be among what is counted. */
	touch_memory(vcpu, TEST_GPA, 0, false);
	provider_read(vm, &before);
	touch_memory(vcpu, TEST_GPA, PAGE_SIZE, false);
	provider_read(vm, &after);
	EXPECT_EQ(before.map + NR_PAGES - 1, after.map);
	expect_others(_metadata, vcpu, mem, 1);

	aim_at_poisoned(vcpu);
	EXPECT_EQ(-1, __vcpu_run(vcpu));
	EXPECT_EQ(EHWPOISON, errno);
	kvm_munmap(mem, TEST_SIZE);
	kvm_close(fd);
	kvm_vm_free(vm);
}

int main(int argc, char *argv[])
{
	mmu_require_altmmu();
	catch_sigbus();
	return test_harness_run(argc, argv);
}
