// SPDX-License-Identifier: GPL-2.0
/*
 * What is left of a VM's page tables, or of the whole VM: nothing.
 */
#include <sys/prctl.h>
#include <sys/wait.h>

#include "altmmu_fixture.h"

#define TEST_SIZE	SZ_4M
#define NR_PAGES	(TEST_SIZE / PAGE_SIZE)

#define NR_ROUNDS	3

static struct kvm_vcpu *create_mapped_vm(u64 mmu)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;

	vm = mmu_create_with_vcpus(mmu, 1, guest_touch, &vcpu);
	vm_userspace_mem_region_add(vm, VM_MEM_SRC_ANONYMOUS, TEST_GPA,
				    TEST_SLOT, NR_PAGES, 0);
	virt_map(vm, TEST_GPA, TEST_GPA, NR_PAGES);
	touch_memory(vcpu, TEST_GPA, TEST_SIZE, true);
	return vcpu;
}

TEST_F_TIMEOUT(mmu, no_tables_are_left, TEST_TIMEOUT_LONG)
{
	long before = page_table_kb_at_rest();

	if (before < 0)
		SKIP(return, "no SecPageTables in /proc/meminfo, or others' VMs");

	for (int i = 0; i < NR_ROUNDS; i++) {
		struct kvm_vcpu *vcpu = create_mapped_vm(variant->mmu);

		ASSERT_LT(before, page_table_kb());
		kvm_vm_free(vcpu->vm);
	}
	EXPECT_EQ(before, page_table_kb_after(before));
}

/* The tables that a VM on altmmu says it has are those that it is charged for. */
TEST_F_TIMEOUT(mmu, tables_are_accounted, TEST_TIMEOUT_LONG)
{
	long before = page_table_kb_at_rest();
	struct kvm_vcpu *vcpu;
	u64 tables;

	if (before < 0)
		SKIP(return, "no SecPageTables in /proc/meminfo, or others' VMs");

	vcpu = create_mapped_vm(variant->mmu);
	self->vm = vcpu->vm;
	tables = vm_get_stat(self->vm, altmmu_tables);
	if (variant->mmu == KVM_X86_MMU_KVM) {
		EXPECT_EQ(0, tables);
		return;
	}
	/* A root, a table for 4G and below, and what is under it. */
	EXPECT_LE(NR_PAGES / 512 + 3, tables);
	EXPECT_EQ(before + tables * PAGE_SIZE / SZ_1K, page_table_kb());
}

/* A VM whose process is killed while its vCPU runs goes like any other. */
TEST_F_TIMEOUT(mmu, killed, TEST_TIMEOUT_LONG)
{
	long before = page_table_kb_at_rest();

	if (before < 0)
		SKIP(return, "no SecPageTables in /proc/meminfo, or others' VMs");

	for (int i = 0; i < NR_ROUNDS; i++) {
		int ready[2];
		pid_t pid;
		char c;

		ASSERT_EQ(0, pipe(ready));
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			struct kvm_vcpu *vcpu = create_mapped_vm(variant->mmu);

			if (write(ready[1], "", 1) != 1)
				_exit(1);
			for (;;)
				touch_memory(vcpu, TEST_GPA, TEST_SIZE, true);
		}
		close(ready[1]);
		ASSERT_EQ(1, read(ready[0], &c, 1));
		close(ready[0]);
		kill(pid, SIGKILL);
		ASSERT_EQ(pid, waitpid(pid, NULL, 0));
	}
	EXPECT_EQ(before, page_table_kb_after(before));
}

TEST_F_TIMEOUT(mmu, no_pages_without_slots, TEST_TIMEOUT_LONG)
{
	struct kvm_vcpu *vcpu = create_mapped_vm(variant->mmu);

	self->vm = vcpu->vm;
	ASSERT_LE(NR_PAGES, vm_get_stat(self->vm, pages_4k));
	vm_mem_region_delete(self->vm, TEST_SLOT);
	vm_mem_region_delete(self->vm, 0);
	EXPECT_EQ(0, vm_get_stat(self->vm, pages_4k));
	EXPECT_EQ(0, vm_get_stat(self->vm, pages_2m));
	EXPECT_EQ(0, vm_get_stat(self->vm, pages_1g));
	/* No more than the root that the vCPU has had. */
	EXPECT_GE(1, vm_get_stat(self->vm, altmmu_tables));
}

static void debugfs_path(struct kvm_vm *vm, const char *file, char *path,
			 size_t size)
{
	snprintf(path, size, "/sys/kernel/debug/kvm/%d-%d/%s", getpid(), vm->fd,
		 file);
}

/* "name value" in a file of such lines; -1 if it is not there. */
static long value_of(const char *text, const char *name)
{
	size_t length = strlen(name);

	for (; text && *text; text = strchr(text, '\n'), text += !!text)
		if (!strncmp(text, name, length) && text[length] == ' ')
			return atol(text + length + 1);
	return -1;
}

TEST_F_TIMEOUT(mmu, debugfs, TEST_TIMEOUT_LONG)
{
	struct kvm_vcpu *vcpu = create_mapped_vm(variant->mmu);
	char vm_path[128], summary_path[128], tables_path[128], text[4096];
	struct kvm_vm *vm = vcpu->vm;

	self->vm = vm;
	debugfs_path(vm, "", vm_path, sizeof(vm_path));
	debugfs_path(vm, "altmmu/summary", summary_path, sizeof(summary_path));
	debugfs_path(vm, "altmmu/tables", tables_path, sizeof(tables_path));
	if (access(vm_path, R_OK))
		SKIP(return, "no debugfs");

	if (variant->mmu == KVM_X86_MMU_KVM) {
		EXPECT_NE(0, access(summary_path, F_OK));
		return;
	}
	ASSERT_TRUE(read_file(summary_path, text, sizeof(text)));
	EXPECT_EQ(vm_get_stat(vm, altmmu_tables), value_of(text, "tables"));
	EXPECT_EQ(vm_get_stat(vm, pages_4k), value_of(text, "leaves_level_1"));
	EXPECT_EQ(vm_get_stat(vm, altmmu_tables) * PAGE_SIZE,
		  value_of(text, "table_bytes"));
	/* What the VM, its vCPU and its root have. */
	EXPECT_LT(0, value_of(text, "metadata_bytes"));
	EXPECT_TRUE(read_file(tables_path, text, sizeof(text)));

	self->vm = NULL;
	kvm_vm_free(vm);
	EXPECT_NE(0, access(vm_path, F_OK));
}

/* The folder follows the VM from one MMU to the other. */
TEST_F(mmu, debugfs_follows_the_mmu)
{
	char vm_path[128], summary_path[128];

	self->vm = vm_create_barebones();
	debugfs_path(self->vm, "", vm_path, sizeof(vm_path));
	debugfs_path(self->vm, "altmmu/summary", summary_path,
		     sizeof(summary_path));
	if (access(vm_path, R_OK))
		SKIP(return, "no debugfs");

	for (int i = 0; i < 2 * NR_ROUNDS; i++) {
		u64 mmu = i % 2 ? variant->mmu : KVM_X86_MMU_ALTMMU;

		vm_enable_cap(self->vm, KVM_CAP_X86_MMU, mmu);
		EXPECT_EQ(mmu == KVM_X86_MMU_ALTMMU,
			  !access(summary_path, F_OK));
	}
}

/* A process that reads a file all the time, if it is there; it ends with us. */
static pid_t reader_start(const char *path)
{
	char text[4096];
	pid_t pid;

	pid = fork();
	TEST_ASSERT(pid >= 0, "Can't fork");
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;)
		read_file(path, text, sizeof(text));
}

static void reader_stop(pid_t pid)
{
	kill(pid, SIGKILL);
	TEST_ASSERT(waitpid(pid, NULL, 0) == pid, "Lost the reader");
}

/* Somebody may be looking when a VM leaves altmmu, and comes back. */
TEST_F_TIMEOUT(mmu, read_while_leaving, TEST_TIMEOUT_LONG)
{
	char path[128];
	pid_t pid;

	self->vm = vm_create_barebones();
	vm_enable_cap(self->vm, KVM_CAP_X86_MMU, KVM_X86_MMU_ALTMMU);
	debugfs_path(self->vm, "altmmu/summary", path, sizeof(path));
	if (access(path, R_OK))
		SKIP(return, "no debugfs");

	pid = reader_start(path);
	for (int i = 0; i < 20; i++) {
		vm_enable_cap(self->vm, KVM_CAP_X86_MMU, KVM_X86_MMU_KVM);
		vm_enable_cap(self->vm, KVM_CAP_X86_MMU, KVM_X86_MMU_ALTMMU);
		EXPECT_EQ(0, access(path, R_OK));
	}
	reader_stop(pid);
}

/* Somebody who looks at the tables of a VM all the time keeps nothing there. */
TEST_F_TIMEOUT(mmu, read_while_used, TEST_TIMEOUT_LONG)
{
	struct kvm_vcpu *vcpu = create_mapped_vm(variant->mmu);
	void *mem = addr_gpa2hva(vcpu->vm, TEST_GPA);
	char path[128];
	pid_t pid;

	self->vm = vcpu->vm;
	if (variant->mmu == KVM_X86_MMU_KVM)
		SKIP(return, "only altmmu has such a file");
	debugfs_path(self->vm, "altmmu/tables", path, sizeof(path));
	if (access(path, R_OK))
		SKIP(return, "no debugfs");

	pid = reader_start(path);
	for (int i = 0; i < 20; i++) {
		kvm_madvise(mem, TEST_SIZE, MADV_DONTNEED);
		/* Several records of what is read, in each of two tables. */
		touch_memory(vcpu, TEST_GPA + SZ_2M - SZ_1M / 2, SZ_1M, true);
		vm_mem_region_reload(self->vm, TEST_SLOT);
	}
	reader_stop(pid);
	vm_mem_region_delete(self->vm, TEST_SLOT);
	vm_mem_region_delete(self->vm, 0);
	EXPECT_EQ(0, vm_get_stat(self->vm, pages_4k));
}

int main(int argc, char *argv[])
{
	mmu_require_altmmu();
	return test_harness_run(argc, argv);
}
