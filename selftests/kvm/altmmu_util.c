// SPDX-License-Identifier: GPL-2.0
/*
 * What altmmu's tests share, see altmmu.h.
 */
#include <glob.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <linux/fs.h>
#include <linux/kernel-page-flags.h>
#include <linux/membarrier.h>

#include "altmmu.h"

/* For the program, its data, page tables and stacks. */
#define SLOT0_PAGES	2048
#define KVM_FOLDER	"/sys/kernel/debug/kvm/"
/* How often CPUs are told to put pages on the LRU lists. */
#define MAX_SETTLE	10

struct guest_control guest_control;

/* Guest: go through memory as the host wants, again and again. */
void guest_touch(void)
{
	for (;;) {
		for (u64 i = 0; i < guest_control.nr_pages; i++) {
			u64 *p = (u64 *)(guest_control.start + i * PAGE_SIZE);

			if (guest_control.write)
				WRITE_ONCE(*p, READ_ONCE(*p) + 1);
			else
				READ_ONCE(*p);
		}
		GUEST_SYNC(0);
	}
}

bool mmu_is_there(u64 mmu)
{
	return kvm_check_cap(KVM_CAP_X86_MMU) & BIT(mmu);
}

/*
 * Whether an MMU does what KVM's own does only with the TDP MMU: split eagerly, and
 * know private memory.
 */
bool mmu_has_tdp_mmu(u64 mmu)
{
	return mmu != KVM_X86_MMU_KVM || get_kvm_param_bool("tdp_mmu");
}

void mmu_require_altmmu(void)
{
	__TEST_REQUIRE(mmu_is_there(KVM_X86_MMU_ALTMMU),
		       "no altmmu in this kernel, or not on this host");
}

/* A VM that has an MMU, and nothing else. */
struct kvm_vm *mmu_create_vm(u64 mmu, unsigned long type)
{
	struct kvm_vm *vm = vm_create_barebones_type(type);

	vm_enable_cap(vm, KVM_CAP_X86_MMU, mmu);
	return vm;
}

/* Give a VM the program and the vCPUs that the library gives to others. */
void mmu_boot_vm(struct kvm_vm *vm, u32 nr_vcpus, void *guest_code,
		 struct kvm_vcpu *vcpus[])
{
	vm_userspace_mem_region_add(vm, VM_MEM_SRC_ANONYMOUS, 0, 0, SLOT0_PAGES,
				    0);
	kvm_vm_elf_load(vm, program_invocation_name);
	ucall_init(vm, SLOT0_PAGES * PAGE_SIZE);
	kvm_arch_vm_post_create(vm, nr_vcpus);

	for (u32 i = 0; i < nr_vcpus; i++)
		vcpus[i] = vm_vcpu_add(vm, i, guest_code);
	kvm_arch_vm_finalize_vcpus(vm);
}

struct kvm_vm *mmu_create_with_vcpus(u64 mmu, u32 nr_vcpus, void *guest_code,
				     struct kvm_vcpu *vcpus[])
{
	struct kvm_vm *vm = mmu_create_vm(mmu, KVM_X86_DEFAULT_VM);

	mmu_boot_vm(vm, nr_vcpus, guest_code, vcpus);
	return vm;
}

/* Where the host has the guest's copy of one of the program's variables. */
void *host_pointer(struct kvm_vm *vm, void *guest_global)
{
	return addr_gva2hva(vm, (gva_t)guest_global);
}

struct guest_control *host_control(struct kvm_vm *vm)
{
	return host_pointer(vm, &guest_control);
}

/* An exit that must be GUEST_SYNC() or GUEST_DONE(): which of them it is. */
bool guest_is_done(struct kvm_vcpu *vcpu)
{
	struct ucall uc;

	switch (get_ucall(vcpu, &uc)) {
	case UCALL_SYNC:
		return false;
	case UCALL_DONE:
		return true;
	case UCALL_ABORT:
		REPORT_GUEST_ASSERT(uc);
		break;
	default:
		TEST_FAIL("vCPU %u: exit %s, ucall %lu", vcpu->id,
			  exit_reason_str(vcpu->run->exit_reason), uc.cmd);
	}
	return true;
}

void run_until_sync(struct kvm_vcpu *vcpu)
{
	vcpu_run(vcpu);
	TEST_ASSERT(!guest_is_done(vcpu), "the guest is done");
}

/* Have guest_touch() go through memory once. */
void touch_memory(struct kvm_vcpu *vcpu, u64 gpa, u64 size, bool write)
{
	struct guest_control *control = host_control(vcpu->vm);

	control->start = gpa;
	control->nr_pages = size / PAGE_SIZE;
	control->write = write;
	run_until_sync(vcpu);
}

static void complete_mmio(struct kvm_run *run)
{
	const u64 data = MMIO_DATA;

	TEST_ASSERT(run->mmio.len <= sizeof(data), "MMIO of %u bytes",
		    run->mmio.len);
	if (!run->mmio.is_write)
		memcpy(run->mmio.data, &data, run->mmio.len);
}

/*
 * Run a vCPU until its guest is done.  Where no slot is it reads MMIO_DATA, and
 * an address that the host has taken away for now is tried again.
 */
static void *run_vcpu(void *arg)
{
	struct vcpu_thread *thread = arg;
	struct kvm_vcpu *vcpu = thread->vcpu;

	for (;;) {
		int r = __vcpu_run(vcpu);

		if (r && errno == EFAULT) {
			thread->bad_addresses++;
			sched_yield();
			continue;
		}
		TEST_ASSERT(!r || errno == EINTR, KVM_IOCTL_ERROR(KVM_RUN, r));
		if (r)
			continue;

		switch (vcpu->run->exit_reason) {
		case KVM_EXIT_MMIO:
			complete_mmio(vcpu->run);
			continue;
		case KVM_EXIT_DIRTY_RING_FULL:
			usleep(100);
			continue;
		}
		if (guest_is_done(vcpu))
			return NULL;
	}
}

/* Have vCPUs run on threads of their own; guests get the vCPU's number. */
void vcpu_threads_run(struct vcpu_thread *threads, struct kvm_vcpu *vcpus[],
		      u32 nr_vcpus, void *(*run)(void *thread))
{
	for (u32 i = 0; i < nr_vcpus; i++) {
		threads[i] = (struct vcpu_thread) { .vcpu = vcpus[i] };
		vcpu_args_set(vcpus[i], 1, vcpus[i]->id);
		kvm_pthread_create(&threads[i].thread, NULL, run, &threads[i]);
	}
}

void vcpu_threads_start(struct vcpu_thread *threads, struct kvm_vcpu *vcpus[],
			u32 nr_vcpus)
{
	vcpu_threads_run(threads, vcpus, nr_vcpus, run_vcpu);
}

/* Wait until a vCPU has been through its memory once. */
void vcpu_wait_first_pass(struct kvm_vcpu *vcpu)
{
	while (!READ_ONCE(host_control(vcpu->vm)->passes[vcpu->id]))
		usleep(100);
}

/* Wait until each vCPU has begun a pass, and ended it. */
void vcpu_threads_wait_passes(struct vcpu_thread *threads, u32 nr_vcpus)
{
	struct guest_control *control = host_control(threads[0].vcpu->vm);

	for (u32 i = 0; i < nr_vcpus; i++) {
		u64 start = READ_ONCE(control->passes[i]);

		while (READ_ONCE(control->passes[i]) < start + 2)
			usleep(100);
	}
}

void vcpu_threads_stop(struct vcpu_thread *threads, u32 nr_vcpus)
{
	WRITE_ONCE(host_control(threads[0].vcpu->vm)->stop, 1);
	for (u32 i = 0; i < nr_vcpus; i++)
		kvm_pthread_join(threads[i].thread, NULL);
}

void set_phase(struct kvm_vm *vm, u64 phase)
{
	WRITE_ONCE(host_control(vm)->phase, phase);
}

/* For what the host does at random; the seed is in the output. */
u64 random_below(u64 end)
{
	return kvm_random_u64_in_range(&kvm_rng, 0, end - 1);
}

/* How much of the memory is there, and mapped huge by the host. */
size_t huge_size(void *mem, size_t size)
{
	const size_t max_regions = size / SZ_2M + 1;
	struct page_region *regions = calloc(max_regions, sizeof(*regions));
	struct pm_scan_arg scan = {
		.size = sizeof(scan),
		.start = (uintptr_t)mem,
		.end = (uintptr_t)mem + size,
		.vec = (uintptr_t)regions,
		.vec_len = max_regions,
		.category_mask = PAGE_IS_HUGE,
		.return_mask = PAGE_IS_HUGE,
	};
	size_t huge = 0;
	int fd, n;

	TEST_ASSERT(regions, "out of memory");
	fd = open_path_or_exit("/proc/self/pagemap", O_RDONLY);
	n = ioctl(fd, PAGEMAP_SCAN, &scan);
	TEST_ASSERT(n >= 0, KVM_IOCTL_ERROR(PAGEMAP_SCAN, n));
	for (int i = 0; i < n; i++)
		huge += regions[i].end - regions[i].start;
	kvm_close(fd);
	free(regions);
	return huge;
}

bool is_all_huge(void *mem, size_t size)
{
	return huge_size(mem, size) == size;
}

/*
 * A slot of huge pages that are all there, and that the guest sees at the same
 * address; NULL if the host has no huge pages now.
 */
void *add_thp_slot(struct kvm_vm *vm, u64 gpa, u32 slot, u64 size)
{
	void *mem;

	if (!thp_configured())
		return NULL;
	vm_userspace_mem_region_add(vm, VM_MEM_SRC_ANONYMOUS_THP, gpa, slot,
				    size / PAGE_SIZE, 0);
	virt_map(vm, gpa, gpa, size / PAGE_SIZE);
	mem = addr_gpa2hva(vm, gpa);
	memset(mem, 0, size);
	return is_all_huge(mem, size) ? mem : NULL;
}

/* The number behind a name in a file of such lines; -1 if it is not there. */
static long number_in(const char *path, const char *name, char separator)
{
	size_t length = strlen(name);
	char line[128];
	long number = -1;
	FILE *f = fopen(path, "r");

	TEST_ASSERT(f, "no %s", path);
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, name, length) && line[length] == separator)
			number = atol(line + length + 1);
	fclose(f);
	return number;
}

/* The pfn behind memory of this process, which is there. */
u64 pfn_of(void *mem)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);
	u64 entry;

	TEST_ASSERT(fd >= 0, "Can't open the pagemap");
	TEST_ASSERT(pread(fd, &entry, sizeof(entry),
			  (u64)mem / PAGE_SIZE * sizeof(entry)) == sizeof(entry),
		    "Can't read the pagemap");
	close(fd);
	return entry & GENMASK_ULL(54, 0);
}

/* Whether a page is on an LRU list, not on its way there or taken from it. */
static bool is_on_lru(u64 pfn)
{
	int fd = open("/proc/kpageflags", O_RDONLY);
	u64 flags;

	TEST_ASSERT(fd >= 0, "Can't open the flags of pages");
	TEST_ASSERT(pread(fd, &flags, sizeof(flags), pfn * sizeof(flags)) ==
		    sizeof(flags), "Can't read the flags of a page");
	close(fd);
	return flags & BIT_ULL(KPF_LRU);
}

/*
 * Whether the host has left pages of this process, @step bytes from one to the next,
 * at @pfns.
 */
bool pages_stay(void *mem, u64 nr, u64 step, const u64 *pfns)
{
	for (u64 i = 0; i < nr; i++)
		if (pfn_of(mem + i * step) != pfns[i] || !is_on_lru(pfns[i]))
			return false;
	return true;
}

/*
 * Have such pages, which are there, on LRU lists: others can't be idle.  CPUs keep
 * some that are new or were moved, until they are told to give them up; the host's
 * page cache goes with that, but no page is moved.
 */
bool pages_settle(void *mem, u64 nr, u64 step, u64 *pfns)
{
	for (int i = 0; i < MAX_SETTLE; i++) {
		if (!write_file("/proc/sys/vm/drop_caches", "1"))
			return false;
		for (u64 j = 0; j < nr; j++)
			pfns[j] = pfn_of(mem + j * step);
		if (pages_stay(mem, nr, step, pfns))
			return true;
	}
	return false;
}

/* The bitmap of idle pages, or -1 if it, or what makes use of it, can't be had. */
int idle_open(void)
{
	if (access("/proc/sys/vm/drop_caches", W_OK) ||
	    access("/proc/kpageflags", R_OK))
		return -1;
	return open("/sys/kernel/mm/page_idle/bitmap", O_RDWR);
}

/* For a huge page: its first pfn. */
void idle_mark(int bitmap, u64 pfn)
{
	u64 bits = BIT_ULL(pfn % 64);

	TEST_ASSERT(pwrite(bitmap, &bits, sizeof(bits), pfn / 64 * sizeof(bits)) ==
		    sizeof(bits), "Can't mark a page as idle");
}

/* Whether nobody has used a page since it was marked. */
bool idle_is(int bitmap, u64 pfn)
{
	u64 bits;

	TEST_ASSERT(pread(bitmap, &bits, sizeof(bits), pfn / 64 * sizeof(bits)) ==
		    sizeof(bits), "Can't read whether a page is idle");
	return bits & BIT_ULL(pfn % 64);
}

/* A line of /proc/meminfo, in KiB. */
long meminfo_kb(const char *name)
{
	return number_in("/proc/meminfo", name, ':');
}

/* What the host has counted since it booted. */
long host_event_count(const char *name)
{
	return number_in("/proc/vmstat", name, ' ');
}

/*
 * Memory in KVM's page tables, with what each CPU has not yet reported; -1 if the
 * host does not tell.
 */
long page_table_kb(void)
{
	char nothing[2];

	read_file("/proc/sys/vm/stat_refresh", nothing, sizeof(nothing));
	return meminfo_kb("SecPageTables");
}

/* Each VM has a folder, whose name begins with the process that has made it. */
static bool others_have_vms(void)
{
	bool found = false;
	glob_t vms;

	if (glob(KVM_FOLDER "[0-9]*-*", 0, NULL, &vms))
		return false;
	for (size_t i = 0; i < vms.gl_pathc; i++)
		found |= atoi(vms.gl_pathv[i] + strlen(KVM_FOLDER)) != getpid();
	globfree(&vms);
	return found;
}

/*
 * What is left when what tests before this one have freed is gone, or -1 if that
 * can't be said, or would say nothing: others have VMs.
 */
long page_table_kb_at_rest(void)
{
	long kb = page_table_kb(), last;

	for (int stable = 0; stable < 2 && kb >= 0; stable++) {
		last = kb;
		/* A grace period, and some time for those who waited for it. */
		syscall(__NR_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
		usleep(50000);
		kb = page_table_kb();
		if (kb != last)
			stable = -1;
	}
	return others_have_vms() ? -1 : kb;
}

/* Tables are freed after a grace period, so it may take a while. */
long page_table_kb_after(long expected)
{
	long kb = page_table_kb();

	for (int i = 0; i < 100 && kb > expected; i++) {
		usleep(50000);
		kb = page_table_kb();
	}
	return kb;
}

bool read_file(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, text, size - 1);
	close(fd);
	text[max_t(ssize_t, n, 0)] = '\0';
	return n >= 0;
}

/* On failure errno says why. */
bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	ssize_t n;
	int saved;

	if (fd < 0)
		return false;
	n = write(fd, text, strlen(text));
	saved = errno;
	close(fd);
	errno = saved;
	return n == strlen(text);
}

#define MAX_ON_EXIT	4

static void (*on_exit_functions[MAX_ON_EXIT])(void);
static int nr_on_exit;
static pid_t main_pid;

/* Tests are processes of their own, but the end of one is not the end. */
static void run_on_exit(void)
{
	if (getpid() == main_pid)
		while (nr_on_exit)
			on_exit_functions[--nr_on_exit]();
}

static void run_on_signal(int signal)
{
	run_on_exit();
	_exit(128 + signal);
}

/* Call a function when the program ends, however that comes.  From main(). */
void on_every_exit(void (*function)(void))
{
	TEST_ASSERT(nr_on_exit < MAX_ON_EXIT, "too many functions");
	on_exit_functions[nr_on_exit] = function;
	if (nr_on_exit++)
		return;
	main_pid = getpid();
	atexit(run_on_exit);
	signal(SIGTERM, run_on_signal);
	signal(SIGINT, run_on_signal);
	signal(SIGHUP, run_on_signal);
}

#define MAX_KEPT	4

static struct kept_file {
	const char *path;
	char text[64];
} kept[MAX_KEPT];
static int nr_kept;

static void restore_files(void)
{
	while (nr_kept) {
		nr_kept--;
		write_file(kept[nr_kept].path, kept[nr_kept].text);
	}
}

/*
 * When the program ends write back what is in the file now.  From main().
 * Returns false if the file can't be written.
 */
bool keep_file(const char *path)
{
	struct kept_file *file = &kept[nr_kept];

	TEST_ASSERT(nr_kept < MAX_KEPT, "too many files to keep");
	if (access(path, W_OK) ||
	    !read_file(path, file->text, sizeof(file->text)))
		return false;
	file->path = path;
	if (!nr_kept++)
		on_every_exit(restore_files);
	return true;
}
