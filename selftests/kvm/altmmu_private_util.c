// SPDX-License-Identifier: GPL-2.0
/*
 * What the tests of mirrored private page tables share, see altmmu_private.h.
 */
#include <asm/barrier.h>

#include "altmmu_private.h"

/* For the program, its data, page tables and stacks. */
#define SLOT0_PAGES	2048

bool private_is_there(void)
{
	return kvm_check_cap(KVM_CAP_VM_TYPES) & BIT(KVM_X86_SOFT_MIRROR_VM);
}

void private_require(void)
{
	__TEST_REQUIRE(private_is_there(),
		       "no soft-mirror VMs in this kernel, or not on this host");
}

/* On failure errno says why. */
int private_set(struct kvm_vm *vm, u64 bit, u64 flags)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_X86_SOFT_MIRROR,
		.args = { bit, flags },
	};

	return __vm_ioctl(vm, KVM_ENABLE_CAP, &cap);
}

u64 private_shared_bit(struct kvm_vm *vm)
{
	return vm_check_cap(vm, KVM_CAP_X86_SOFT_MIRROR);
}

/* A VM with this shared bit, or the default one if it is 0, and nothing else. */
struct kvm_vm *private_create_vm(u64 bit, u64 flags)
{
	struct kvm_vm *vm = vm_create_barebones_type(KVM_X86_SOFT_MIRROR_VM);

	TEST_ASSERT(!private_set(vm, bit, flags),
		    "shared bit %lu, flags 0x%lx: errno %d", bit, flags, errno);
	return vm;
}

/*
 * Private memory that the host can write: the library's memory becomes a view of
 * the guest_memfd.
 */
static void add_program_memory(struct kvm_vm *vm)
{
	struct userspace_mem_region *region;
	const u64 size = SLOT0_PAGES * PAGE_SIZE;
	void *mem;
	int fd;

	fd = vm_create_guest_memfd(vm, size, GUEST_MEMFD_FLAG_MMAP |
					     GUEST_MEMFD_FLAG_INIT_SHARED);
	vm_mem_add(vm, VM_MEM_SRC_ANONYMOUS, 0, 0, SLOT0_PAGES,
		   KVM_MEM_GUEST_MEMFD, fd, 0);
	region = memslot2region(vm, 0);
	mem = mmap(region->host_mem, size, PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_FIXED, fd, 0);
	TEST_ASSERT(mem == region->host_mem, "mapping a guest_memfd: errno %d",
		    errno);
	kvm_close(fd);
	vm_mem_set_private(vm, 0, size);
}

/*
 * Give a VM a program and vCPUs.  If its guest has to accept what it gets, the
 * program is there from the beginning; private_finalize() ends that.
 */
void private_boot_vm(struct kvm_vm *vm, u32 nr_vcpus, void *guest_code,
		     struct kvm_vcpu *vcpus[])
{
	add_program_memory(vm);
	kvm_vm_elf_load(vm, program_invocation_name);
	ucall_init(vm, SLOT0_PAGES * PAGE_SIZE);
	kvm_arch_vm_post_create(vm, nr_vcpus);

	for (u32 i = 0; i < nr_vcpus; i++)
		vcpus[i] = vm_vcpu_add(vm, i, guest_code);
	kvm_arch_vm_finalize_vcpus(vm);
}

/* All of the program's memory, and no more, is added as it is now. */
void private_finalize(struct kvm_vm *vm)
{
	struct kvm_vcpu *vcpu = list_first_entry(&vm->vcpus, struct kvm_vcpu,
						 list);

	TEST_ASSERT(!private_pre_fault(vcpu, 0, SLOT0_PAGES * PAGE_SIZE),
		    "adding the program: errno %d", errno);
	TEST_ASSERT(!private_set(vm, 0, KVM_X86_SOFT_MIRROR_FINALIZE),
		    "KVM_X86_SOFT_MIRROR_FINALIZE: errno %d", errno);
}

/* Have the guest see memory twice, with pages of this level. */
void private_map_views(struct kvm_vm *vm, gpa_t gpa, u64 size, int level)
{
	u64 bit = BIT_ULL(private_shared_bit(vm));

	virt_map_level(vm, gpa, gpa, size, level);
	virt_map_level(vm, SHARED_VIEW + gpa, bit | gpa, size, level);
}

/*
 * Memory with two contents, seen by the guest at its address and in the shared
 * view.  The host sees the shared ones, which this returns.
 */
void *private_add_memory(struct kvm_vm *vm, gpa_t gpa, u32 slot, u64 size)
{
	vm_userspace_mem_region_add(vm, VM_MEM_SRC_ANONYMOUS, gpa, slot,
				    size / PAGE_SIZE, KVM_MEM_GUEST_MEMFD);
	return addr_gpa2hva(vm, gpa);
}

/*
 * Private memory that the host sees as well: the guest_memfd is mapped.  Who is
 * done with it unmaps what this returns, and closes the file.
 */
void *private_add_mapped(struct kvm_vm *vm, gpa_t gpa, u32 slot, u64 size,
			 int *fd)
{
	void *mem;

	*fd = vm_create_guest_memfd(vm, size, GUEST_MEMFD_FLAG_MMAP |
					      GUEST_MEMFD_FLAG_INIT_SHARED);
	mem = kvm_mmap(size, PROT_READ | PROT_WRITE, MAP_SHARED, *fd);
	vm_set_user_memory_region2(vm, slot, KVM_MEM_GUEST_MEMFD, gpa, size,
				   mem, *fd, 0);
	vm_mem_set_private(vm, gpa, size);
	return mem;
}

/* On failure errno says why. */
int private_pre_fault(struct kvm_vcpu *vcpu, gpa_t gpa, u64 size)
{
	struct kvm_pre_fault_memory range = { .gpa = gpa, .size = size };
	int r;

	do {
		r = __vcpu_ioctl(vcpu, KVM_PRE_FAULT_MEMORY, &range);
	} while ((r && (errno == EINTR || errno == EAGAIN)) ||
		 (!r && range.size));
	return r;
}

static void vm_file(struct kvm_vm *vm, const char *name, char *path, size_t size)
{
	snprintf(path, size, "/sys/kernel/debug/kvm/%d-%d/altmmu/%s", getpid(),
		 vm->fd, name);
}

void provider_read(struct kvm_vm *vm, struct provider_counts *counts)
{
	const struct {
		const char *name;
		u64 *count;
	} lines[] = {
		{ "link", &counts->link },
		{ "map", &counts->map },
		{ "add", &counts->add },
		{ "block", &counts->block },
		{ "track", &counts->track },
		{ "unblock", &counts->unblock },
		{ "remove", &counts->remove },
		{ "unlink", &counts->unlink },
		{ "promote", &counts->promote },
		{ "demote", &counts->demote },
		{ "open_window", &counts->open_window },
		{ "close_window", &counts->close_window },
		{ "kicks", &counts->kicks },
	};
	unsigned long calls, busy;
	char path[128], line[128], name[48];
	unsigned int found = 0;
	FILE *f;

	memset(counts, 0, sizeof(*counts));
	vm_file(vm, "provider", path, sizeof(path));
	f = fopen(path, "r");
	TEST_ASSERT(f, "%s: errno %d", path, errno);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%47s %lu %lu", name, &calls, &busy) != 3)
			continue;
		for (int i = 0; i < ARRAY_SIZE(lines); i++)
			if (!strcmp(name, lines[i].name)) {
				*lines[i].count = calls - busy;
				counts->busy += busy;
				found |= BIT(i);
			}
	}
	fclose(f);
	TEST_ASSERT(found == BIT(ARRAY_SIZE(lines)) - 1,
		    "%s does not have all counters", path);
}

/* What the mirror has now. */
struct mirror_counts {
	long leaves;
	long tables;
};

static void mirror_read(struct kvm_vm *vm, struct mirror_counts *counts)
{
	char path[128], line[128];
	unsigned int found = 0;
	int level;
	long nr;
	FILE *f;

	memset(counts, 0, sizeof(*counts));
	vm_file(vm, "summary", path, sizeof(path));
	f = fopen(path, "r");
	TEST_ASSERT(f, "%s: errno %d", path, errno);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "private_leaves_level_%d %ld", &level,
			   &nr) == 2) {
			counts->leaves += nr;
			found |= BIT(level);
		} else if (sscanf(line, "private_tables %ld",
				  &counts->tables) == 1) {
			found |= BIT(0);
		}
	}
	fclose(f);
	TEST_ASSERT(found == GENMASK(3, 0), "%s does not have all counters",
		    path);
}

/*
 * While nothing goes on: what the mirror has is what its provider was given and has
 * not given back, and no window is open.
 */
void private_check_mirror(struct kvm_vm *vm)
{
	struct provider_counts calls;
	struct mirror_counts mirror;

	provider_read(vm, &calls);
	mirror_read(vm, &mirror);
	TEST_ASSERT_EQ(calls.map + calls.add - calls.remove, mirror.leaves);
	/* The root is nobody's to link. */
	TEST_ASSERT_EQ(1 + calls.link - calls.unlink, mirror.tables);
	TEST_ASSERT_EQ(calls.remove + calls.unlink, calls.block);
	TEST_ASSERT_EQ(calls.open_window, calls.close_window);
	/* guest_memfd has no large pages. */
	TEST_ASSERT_EQ(0, calls.promote + calls.demote + calls.unblock);
}

/* Delete the program's memslot and the test's: nothing is left of the mirror. */
void private_delete_all(struct kvm_vm *vm)
{
	struct mirror_counts mirror;

	vm_mem_region_delete(vm, TEST_SLOT);
	vm_mem_region_delete(vm, 0);
	private_check_mirror(vm);
	mirror_read(vm, &mirror);
	TEST_ASSERT_EQ(0, mirror.leaves);
	TEST_ASSERT_EQ(1, mirror.tables);
}

void provider_inject(struct kvm_vm *vm, const char *what)
{
	char path[128];

	vm_file(vm, "inject", path, sizeof(path));
	TEST_ASSERT(write_file(path, what), "%s: errno %d", path, errno);
}

/*
 * Each access is one instruction of three bytes, as is a hypercall, and what
 * says whether it was left out is in rax.
 */
u64 guest_read(u64 gva)
{
	u64 value;

	asm volatile("mov (%%rdi), %%rax" : "=a"(value) : "D"(gva) : "memory");
	return value;
}

/* Returns false if it was left out. */
bool guest_write(u64 gva, u64 value)
{
	u64 skipped = 0;

	asm volatile("mov %%rsi, (%%rdi)"
		     : "+a"(skipped) : "D"(gva), "S"(value) : "memory");
	return skipped != ACCESS_SKIPPED;
}

/* Who is busy is so for a short time. */
u64 guest_accept(gpa_t gpa, u64 level)
{
	u64 result;

	do {
		result = kvm_hypercall(KVM_HC_SOFT_MIRROR_ACCEPT, gpa, level, 0,
				       0);
	} while (result == ACCEPT_BUSY);
	return result;
}

static struct guest_request guest_request;

static void guest_serve(void)
{
	struct guest_request *r = &guest_request;

	for (;;) {
		if (r->accept_level)
			r->accepted = guest_accept(r->gpa, r->accept_level);
		if (r->gva) {
			r->found = guest_read(r->gva);
			if (r->leaves)
				guest_write(r->gva, r->leaves);
		}
		GUEST_SYNC(0);
	}
}

/* A VM whose vCPU does what it is asked to. */
struct kvm_vm *private_create_serving(u64 bit, u64 flags,
				      struct kvm_vcpu **vcpu)
{
	struct kvm_vm *vm = private_create_vm(bit, flags);

	private_boot_vm(vm, 1, guest_serve, vcpu);
	return vm;
}

struct guest_request *host_request(struct kvm_vm *vm)
{
	return host_pointer(vm, &guest_request);
}

/* The word that a guest finds at an address; it leaves another one there. */
u64 exchange(struct kvm_vcpu *vcpu, u64 gva, u64 leaves)
{
	struct guest_request *request = host_request(vcpu->vm);

	*request = (struct guest_request) { .gva = gva, .leaves = leaves };
	run_until_sync(vcpu);
	return request->found;
}

u64 private_word(struct kvm_vcpu *vcpu, u64 page, u64 leaves)
{
	return exchange(vcpu, PAGE_GPA(page), leaves);
}

u64 shared_word(struct kvm_vcpu *vcpu, u64 page, u64 leaves)
{
	return exchange(vcpu, SHARED_VIEW + PAGE_GPA(page), leaves);
}

u64 accept_page(struct kvm_vcpu *vcpu, gpa_t gpa, u64 level)
{
	struct guest_request *request = host_request(vcpu->vm);

	*request = (struct guest_request) {
		.gpa = gpa,
		.accept_level = level,
	};
	run_until_sync(vcpu);
	return request->accepted;
}

bool is_memory_fault(struct kvm_vcpu *vcpu, int ret)
{
	return ret && errno == EFAULT &&
	       vcpu->run->exit_reason == KVM_EXIT_MEMORY_FAULT;
}

/* The guest's next access is the host's decision: whether it is as expected. */
bool exits_at(struct kvm_vcpu *vcpu, u64 gpa, bool private)
{
	struct kvm_run *run = vcpu->run;

	return is_memory_fault(vcpu, __vcpu_run(vcpu)) &&
	       run->memory_fault.gpa == gpa &&
	       run->memory_fault.size == PAGE_SIZE &&
	       run->memory_fault.flags ==
	       (private ? KVM_MEMORY_EXIT_FLAG_PRIVATE : 0);
}

/* Leave out what the guest was about to do, and tell it. */
void skip_access(struct kvm_vcpu *vcpu)
{
	struct kvm_regs regs;

	vcpu_regs_get(vcpu, &regs);
	regs.rip += 3;
	regs.rax = ACCESS_SKIPPED;
	vcpu_regs_set(vcpu, &regs);
}

/* Run a vCPU until its guest is done; what it may not do it leaves out. */
static void *run_skipping(void *arg)
{
	struct vcpu_thread *thread = arg;
	struct kvm_vcpu *vcpu = thread->vcpu;

	for (;;) {
		int r = __vcpu_run(vcpu);

		if (is_memory_fault(vcpu, r)) {
			thread->bad_addresses++;
			skip_access(vcpu);
			continue;
		}
		TEST_ASSERT(!r || errno == EINTR, KVM_IOCTL_ERROR(KVM_RUN, r));
		if (!r && guest_is_done(vcpu))
			return NULL;
	}
}

void private_threads_start(struct vcpu_thread *threads,
			   struct kvm_vcpu *vcpus[], u32 nr_vcpus)
{
	vcpu_threads_run(threads, vcpus, nr_vcpus, run_skipping);
}
