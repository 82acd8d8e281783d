// SPDX-License-Identifier: GPL-2.0
/*
 * debugfs: kvm/<VM>/altmmu/summary and kvm/<VM>/altmmu/tables, and with
 * CONFIG_KVM_PROVE_MMU kvm/<VM>/altmmu/wrap_mmio.  What there is for private
 * memory is in private_debugfs.c.
 */
#include <linux/debugfs.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#include "glue.h"

/*
 * What altmmu allocates beside page tables: of what it has for the VM and for each
 * vCPU as much as of roots.  A table that is no root has nothing.  Caches for what
 * is to come are left out, as are KVM's own.
 */
static size_t altmmu_metadata_size(const struct altmmu_vm *vm,
				   unsigned int roots)
{
	unsigned int vcpus = atomic_read(&vm->kvm->online_vcpus);

	return kmalloc_size_roundup(sizeof(struct altmmu_vm)) +
	       vcpus * kmalloc_size_roundup(sizeof(struct altmmu_vcpu)) +
	       roots * kmalloc_size_roundup(sizeof(struct pgt_root));
}

static int altmmu_summary_show(struct seq_file *m, void *v)
{
	struct altmmu_vm *vm = m->private;
	const struct pgt_counters *counters = &vm->mmu.counters;
	struct pgt_root *root;
	long tables = atomic_long_read(counters->tables);
	unsigned int roots = 0;

	seq_printf(m, "format %s\n", vm->fmt.name);
	for (int level = 1; level <= PGT_MAX_LEAF_LEVEL; level++)
		seq_printf(m, "leaves_level_%d %ld\n", level,
			   atomic_long_read(counters->leaves[level]));
	seq_printf(m, "tables %ld\n", tables);
	seq_printf(m, "table_bytes %ld\n", tables * (long)PAGE_SIZE);
	seq_printf(m, "nx_tables %ld\n",
		   atomic_long_read(counters->nx_tables));
	pgt_for_each_root(&vm->mmu, root, PGT_ANY_SPACE, PGT_ALL_ROOTS) {
		seq_printf(m, "root space %d levels %d role 0x%08x %s\n",
			   root->space, root->levels, root->role,
			   READ_ONCE(root->state) == PGT_ROOT_VALID ?
			   "valid" : "invalid");
		roots++;
	}
	/* The VM may be about to leave it for another MMU. */
	if (altmmu_vm_has_mirror(vm))
		altmmu_show_private(vm, m);
	seq_printf(m, "metadata_bytes %zu\n", altmmu_metadata_size(vm, roots));
	return 0;
}

/* Entries in a record; their lines fit into a page. */
#define ALTMMU_DUMP_ENTRIES	64

/**
 * struct altmmu_tables - a reader of all tables
 * @vm:		whose
 * @nr:		the root that the record is of, by its number
 * @start:	first gfn of the record
 * @next:	first gfn of the next one, ~0 if that is another root's
 * @space:	of the root
 * @role:	of the root
 * @levels:	of the root
 * @used:	how many there are in @entries
 * @entries:	the record
 *
 * A root is looked up for each record: it may go in between.
 */
struct altmmu_tables {
	struct altmmu_vm *vm;
	u64 nr;
	u64 start;
	u64 next;
	int space;
	u32 role;
	u8 levels;
	unsigned int used;
	struct pgt_dump_entry entries[ALTMMU_DUMP_ENTRIES];
};

static struct altmmu_tables *altmmu_tables_load(struct altmmu_tables *t)
{
	struct pgt_range range;
	struct pgt_root *root;

	guard(rcu)();
	root = pgt_root_seek(&t->vm->mmu, t->nr, PGT_ANY_SPACE, PGT_ALL_ROOTS);
	if (!root)
		return NULL;
	if (root->nr != t->nr)
		t->start = 0;
	t->nr = root->nr;
	t->space = root->space;
	t->role = root->role;
	t->levels = root->levels;
	range = (struct pgt_range) { .start = t->start, .end = ~0ULL };
	t->used = pgt_dump(root, &range, t->entries, ALTMMU_DUMP_ENTRIES);
	t->next = range.start;
	return t;
}

/* Reading goes on where it stopped, or starts again. */
static void *altmmu_tables_start(struct seq_file *m, loff_t *pos)
{
	struct altmmu_tables *t = m->private;

	if (!*pos) {
		t->nr = 0;
		t->start = 0;
	}
	return altmmu_tables_load(t);
}

static void *altmmu_tables_next(struct seq_file *m, void *v, loff_t *pos)
{
	struct altmmu_tables *t = v;

	/* Many records may be empty, and are read in one go. */
	cond_resched();
	++*pos;
	if (t->next == ~0ULL) {
		t->nr++;
		t->start = 0;
	} else {
		t->start = t->next;
	}
	return altmmu_tables_load(t);
}

static void altmmu_tables_stop(struct seq_file *m, void *v)
{
}

/* Level, first gfn and value of each entry that is not empty. */
static int altmmu_tables_show(struct seq_file *m, void *v)
{
	struct altmmu_tables *t = v;

	if (!t->start)
		seq_printf(m, "root space %d levels %d role 0x%08x\n", t->space,
			   t->levels, t->role);
	for (unsigned int i = 0; i < t->used; i++)
		seq_printf(m, "%d 0x%llx 0x%016llx\n", t->entries[i].level,
			   t->entries[i].gfn, t->entries[i].entry);
	return 0;
}

static const struct seq_operations altmmu_tables_sops = {
	.start = altmmu_tables_start,
	.next = altmmu_tables_next,
	.stop = altmmu_tables_stop,
	.show = altmmu_tables_show,
};

static int altmmu_tables_open(struct inode *inode, struct file *file)
{
	struct altmmu_tables *t;

	t = __seq_open_private(file, &altmmu_tables_sops, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->vm = inode->i_private;
	return 0;
}

static const struct file_operations altmmu_tables_fops = {
	.owner = THIS_MODULE,
	.open = altmmu_tables_open,
	.read = seq_read,
	.llseek = seq_lseek,
	.release = seq_release_private,
};

#ifdef CONFIG_KVM_PROVE_MMU
/* As if there had been 2^18 memslot updates. */
static int altmmu_wrap_mmio(void *data, u64 unused)
{
	struct altmmu_vm *vm = data;

	guard(mutex)(&vm->kvm->slots_lock);
	kvm_mmu_invalidate_mmio_sptes(vm->kvm, 0);
	return 0;
}

DEFINE_DEBUGFS_ATTRIBUTE(altmmu_wrap_mmio_fops, NULL, altmmu_wrap_mmio,
			 "%llu\n");
#endif

DEFINE_SHOW_ATTRIBUTE(altmmu_summary);

/**
 * altmmu_create_debugfs() - show a VM's page tables in debugfs
 * @kvm:	the VM; nothing is done if it is not on altmmu, or not in debugfs
 */
void altmmu_create_debugfs(struct kvm *kvm)
{
	struct altmmu_vm *vm = kvm->arch.altmmu;

	if (!vm || IS_ERR_OR_NULL(kvm->debugfs_dentry))
		return;
	vm->debugfs = debugfs_create_dir("altmmu", kvm->debugfs_dentry);
	debugfs_create_file("summary", 0400, vm->debugfs, vm,
			    &altmmu_summary_fops);
	debugfs_create_file("tables", 0400, vm->debugfs, vm,
			    &altmmu_tables_fops);
#ifdef CONFIG_KVM_PROVE_MMU
	debugfs_create_file("wrap_mmio", 0200, vm->debugfs, vm,
			    &altmmu_wrap_mmio_fops);
#endif
	if (altmmu_has_mirror(kvm))
		altmmu_create_private_debugfs(vm);
}

/*
 * Waits for readers that are in there.  At a VM's end generic KVM has removed
 * all of its folder already.
 */
void altmmu_remove_debugfs(struct altmmu_vm *vm)
{
	debugfs_remove(vm->debugfs);
}
