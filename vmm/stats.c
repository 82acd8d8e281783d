// SPDX-License-Identifier: GPL-2.0
/*
 * --stats: what KVM counts, read by name from its binary statistics
 * (KVM_GET_STATS_FD in the kernel's Documentation/virt/kvm/api.rst), when the
 * guest reaches user space and when it has ended.  For private memory also what
 * those count that keep its page tables, which is in debugfs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmm.h"

#define NAME_SIZE	96

/* The VM, or a vCPU: all vCPUs have the same statistics. */
struct source {
	const char *prefix;
	struct kvm_stats_header header;
	u8 *descriptors;
	u64 *data;
	size_t count;		/* of u64 in data */
};

struct stats {
	struct source vm, vcpu;
	int vm_fd;
	int *vcpu_fds;
	char provider[64];	/* a file, or "" */
	char (*names)[NAME_SIZE];
	size_t count;
	u64 tables_before;	/* bytes */
};

static const struct kvm_stats_desc *descriptor(const struct source *source,
					       u32 i)
{
	size_t size = sizeof(struct kvm_stats_desc) + source->header.name_size;

	return (void *)(source->descriptors + i * size);
}

static void read_at(int fd, void *data, size_t size, u64 offset)
{
	ssize_t got = pread(fd, data, size, offset);

	if (got < 0)
		die_errno("reading KVM's statistics");
	if ((size_t)got != size)
		die("reading KVM's statistics: got %zd bytes of %zu", got, size);
}

static void *allocate(size_t count, size_t size)
{
	void *data = calloc(count ? count : 1, size);

	if (!data)
		die("no memory for statistics");
	return data;
}

static void open_source(struct source *source, int fd, const char *prefix)
{
	struct kvm_stats_header *header = &source->header;
	size_t size, end;
	u32 i;

	source->prefix = prefix;
	read_at(fd, header, sizeof(*header), 0);
	size = sizeof(struct kvm_stats_desc) + header->name_size;
	source->descriptors = allocate(header->num_desc, size);
	read_at(fd, source->descriptors, header->num_desc * size,
		header->desc_offset);
	for (i = 0; i < header->num_desc; i++) {
		const struct kvm_stats_desc *desc = descriptor(source, i);

		end = desc->offset / sizeof(u64) + desc->size;
		if (source->count < end)
			source->count = end;
	}
	source->data = allocate(source->count, sizeof(u64));
}

/* Histograms have more than one value, and are left out. */
static bool wanted(const struct kvm_stats_desc *desc)
{
	return desc->size == 1;
}

/* Name every value, in the order in which stats_take() has them. */
static size_t name_values(const struct source *source, char (*names)[NAME_SIZE])
{
	size_t count = 0;
	u32 i;

	for (i = 0; i < source->header.num_desc; i++) {
		const struct kvm_stats_desc *desc = descriptor(source, i);

		if (!wanted(desc))
			continue;
		if (names)
			snprintf(names[count], NAME_SIZE, "%s.%s",
				 source->prefix, desc->name);
		count++;
	}
	return count;
}

/*
 * Page tables that KVM has, for all VMs of this host together.  The kernel
 * gathers this per CPU; reading stat_refresh, which is root's, adds it up.
 */
static u64 host_table_bytes(void)
{
	unsigned long long kib;
	u64 bytes = 0;
	char line[128];
	FILE *file;

	file = fopen("/proc/sys/vm/stat_refresh", "re");
	if (file) {
		while (fgets(line, sizeof(line), file))
			;
		fclose(file);
	}
	file = fopen("/proc/meminfo", "re");
	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "SecPageTables: %llu kB", &kib) == 1)
			bytes = kib * KIB;
	fclose(file);
	return bytes;
}

#define SLAB_HEADER	"/sys/kernel/slab/kvm_mmu_page_header/object_size"
#define TDP_MMU		"/sys/module/kvm/parameters/tdp_mmu"
#define SUMMARY		"/sys/kernel/debug/kvm/%d-%d/altmmu/summary"

/* The reverse map has a pointer for each page of each size, mapped or not. */
static u64 rmap_bytes(u64 memory)
{
	u64 pages = 0;
	int shift;

	for (shift = 12; shift <= 30; shift += 9)
		pages += (memory + (1ULL << shift) - 1) >> shift;
	return pages * sizeof(void *);
}

/* KVM's own MMU has a header for each table, and without its TDP MMU a reverse map. */
static u64 metadata_of_kvm(const struct vm *vm, u64 table_bytes)
{
	unsigned long long header;
	int has_tdp_mmu = EOF;
	FILE *file;

	file = fopen(TDP_MMU, "re");
	if (file) {
		has_tdp_mmu = fgetc(file);
		fclose(file);
	}
	file = fopen(SLAB_HEADER, "re");
	if (!file)
		return 0;
	if (fscanf(file, "%llu", &header) != 1)
		header = 0;
	fclose(file);
	if (!header || has_tdp_mmu == EOF)
		return 0;
	return table_bytes / 4096 * header +
	       (has_tdp_mmu == 'Y' ? 0 : rmap_bytes(vm->options->memory));
}

/* altmmu says itself what it has, where root can read it. */
static u64 metadata_of_altmmu(const struct vm *vm)
{
	unsigned long long bytes = 0;
	char path[64], line[128];
	FILE *file;

	snprintf(path, sizeof(path), SUMMARY, getpid(), vm->fd);
	file = fopen(path, "re");
	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "metadata_bytes %llu", &bytes) == 1)
			break;
	fclose(file);
	return bytes;
}

static u64 metadata_bytes(const struct vm *vm, u64 table_bytes)
{
	return vm->mmu == KVM_X86_MMU_ALTMMU ? metadata_of_altmmu(vm) :
					       metadata_of_kvm(vm, table_bytes);
}

/*
 * The provider's numbers: named if @names is not NULL, read if @values is not.
 * Each line has a name and how often that was called, and most how often it was
 * busy.  Returns how many numbers there are, at most @room.
 */
static size_t provider_values(const struct stats *stats,
			      char (*names)[NAME_SIZE], u64 *values, size_t room)
{
	static const char * const suffixes[] = { "", "_busy" };
	unsigned long long numbers[2];
	char line[128], name[48];
	size_t count = 0;
	int i, found;
	FILE *file;

	file = stats->provider[0] ? fopen(stats->provider, "re") : NULL;
	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file)) {
		found = sscanf(line, "%47s %llu %llu", name, &numbers[0],
			       &numbers[1]) - 1;
		for (i = 0; i < found && count < room; i++, count++) {
			if (names)
				snprintf(names[count], NAME_SIZE,
					 "provider.%s%s", name, suffixes[i]);
			if (values)
				values[count] = numbers[i];
		}
	}
	fclose(file);
	return count;
}

/**
 * stats_open - be ready to take samples
 * @vm: with its vCPUs, none of which has run: an ioctl would wait for those
 */
void stats_open(struct vm *vm)
{
	struct stats *stats = allocate(1, sizeof(*stats));
	size_t count, provided;
	int i;

	vm->stats = stats;
	stats->tables_before = host_table_bytes();
	if (vm->options->private)
		snprintf(stats->provider, sizeof(stats->provider),
			 "/sys/kernel/debug/kvm/%d-%d/altmmu/provider",
			 getpid(), vm->fd);
	/* Kernels before 5.14 have none. */
	if (ioctl(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_BINARY_STATS_FD) <= 0)
		return;
	stats->vm_fd = KVM_CALL(vm->fd, KVM_GET_STATS_FD, 0);
	open_source(&stats->vm, stats->vm_fd, "vm");
	stats->vcpu_fds = allocate(vm->cpus, sizeof(int));
	for (i = 0; i < vm->cpus; i++)
		stats->vcpu_fds[i] = KVM_CALL(vm->vcpus[i].fd,
					      KVM_GET_STATS_FD, 0);
	open_source(&stats->vcpu, stats->vcpu_fds[0], "vcpu");

	count = name_values(&stats->vm, NULL);
	stats->count = count + name_values(&stats->vcpu, NULL);
	provided = provider_values(stats, NULL, NULL, SIZE_MAX);
	stats->names = allocate(stats->count + provided, NAME_SIZE);
	name_values(&stats->vm, stats->names);
	name_values(&stats->vcpu, stats->names + count);
	stats->count += provider_values(stats, stats->names + stats->count,
					NULL, provided);
}

static u64 *add_values(struct source *source, int fd, u64 *values)
{
	u32 i;

	read_at(fd, source->data, source->count * sizeof(u64),
		source->header.data_offset);
	for (i = 0; i < source->header.num_desc; i++) {
		const struct kvm_stats_desc *desc = descriptor(source, i);

		if (wanted(desc))
			*values++ += source->data[desc->offset / sizeof(u64)];
	}
	return values;
}

/**
 * stats_take - the VM's statistics of this moment
 * @vm: the VM
 * @sample: filled in: the VM's values, then those of the vCPUs summed up
 *
 * Does nothing unless statistics were asked for.
 */
void stats_take(struct vm *vm, struct stats_sample *sample)
{
	struct stats *stats = vm->stats;
	u64 *values, *end = NULL, tables;
	int i;

	if (!stats)
		return;
	sample->nanoseconds = now_nanoseconds() - vm->started;
	sample->values = allocate(stats->count, sizeof(u64));
	if (stats->count) {
		values = add_values(&stats->vm, stats->vm_fd, sample->values);
		for (i = 0; i < vm->cpus; i++)
			end = add_values(&stats->vcpu, stats->vcpu_fds[i],
					 values);
		provider_values(stats, NULL, end,
				sample->values + stats->count - end);
	}
	tables = host_table_bytes();
	if (tables > stats->tables_before)
		sample->table_bytes = tables - stats->tables_before;
	sample->metadata_bytes = metadata_bytes(vm, sample->table_bytes);
	sample->taken = true;
}

static void print_raw_sample(const struct stats *stats, const char *when,
			     const struct stats_sample *sample)
{
	size_t i;

	if (!sample->taken)
		return;
	fprintf(stderr, "%s.time_us %llu\n", when,
		sample->nanoseconds / 1000);
	fprintf(stderr, "%s.host_table_bytes %llu\n", when,
		sample->table_bytes);
	if (sample->metadata_bytes)
		fprintf(stderr, "%s.metadata_bytes %llu\n", when,
			sample->metadata_bytes);
	for (i = 0; i < stats->count; i++)
		fprintf(stderr, "%s.%s %llu\n", when, stats->names[i],
			sample->values[i]);
}

static void print_raw(const struct vm *vm)
{
	fprintf(stderr, "mmu %s\n", mmu_names[vm->mmu]);
	fprintf(stderr, "vcpus %d\n", vm->cpus);
	fprintf(stderr, "memory_bytes %llu\n", vm->options->memory);
	fprintf(stderr, "backing %s\n", backing_names[vm->options->backing]);
	print_raw_sample(vm->stats, "user_space", &vm->at_mark);
	print_raw_sample(vm->stats, "end", &vm->at_end);
}

static void print_cell(const struct stats_sample *sample, bool known, u64 value)
{
	if (sample->taken && known)
		fprintf(stderr, "%14llu", value);
	else
		fprintf(stderr, "%14s", "-");
}

static void print_row(const struct vm *vm, const char *label, bool known,
		      u64 mark, u64 end)
{
	fprintf(stderr, "%-26s", label);
	print_cell(&vm->at_mark, known, mark);
	print_cell(&vm->at_end, known, end);
	fputc('\n', stderr);
}

static void print_value(const struct vm *vm, const char *label, size_t i)
{
	bool known = i < vm->stats->count;

	print_row(vm, label, known,
		  known && vm->at_mark.taken ? vm->at_mark.values[i] : 0,
		  known ? vm->at_end.values[i] : 0);
}

/* What nobody has ever asked the provider for is left out. */
static void print_provider(const struct vm *vm)
{
	static const char prefix[] = "provider.";
	const struct stats *stats = vm->stats;
	char label[NAME_SIZE];
	size_t i;

	for (i = 0; i < stats->count; i++) {
		if (strncmp(stats->names[i], prefix, strlen(prefix)) ||
		    !vm->at_end.values[i])
			continue;
		snprintf(label, sizeof(label), "private: %.*s", 60,
			 stats->names[i] + strlen(prefix));
		print_value(vm, label, i);
	}
}

static void print_table(const struct vm *vm)
{
	static const struct {
		const char *label, *name;
	} rows[] = {
		{ "faults taken", "vcpu.pf_taken" },
		{ "  fixed", "vcpu.pf_fixed" },
		{ "  fixed without lock", "vcpu.pf_fast" },
		{ "  spurious", "vcpu.pf_spurious" },
		{ "  emulated", "vcpu.pf_emulate" },
		{ "  MMIO entries made", "vcpu.pf_mmio_spte_created" },
		{ "  the guest's own", "vcpu.pf_guest" },
		{ "mapped as 4K", "vm.pages_4k" },
		{ "mapped as 2M", "vm.pages_2m" },
		{ "mapped as 1G", "vm.pages_1g" },
	};
	static const char altmmu[] = "altmmu_";
	const struct stats *stats = vm->stats;
	const char *name;
	size_t i, j;

	fprintf(stderr, "MMU %s, %d vCPU%s, %llu MiB of memory from %s\n",
		mmu_names[vm->mmu], vm->cpus, vm->cpus == 1 ? "" : "s",
		vm->options->memory / MIB, backing_names[vm->options->backing]);
	fprintf(stderr, "%-26s%14s%14s\n", "", "at user space", "at the end");
	print_row(vm, "milliseconds", true, vm->at_mark.nanoseconds / 1000000,
		  vm->at_end.nanoseconds / 1000000);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		for (j = 0; j < stats->count; j++)
			if (!strcmp(stats->names[j], rows[i].name))
				break;
		print_value(vm, rows[i].label, j);
	}
	print_row(vm, "table pages (whole host)",
		  vm->at_mark.table_bytes || vm->at_end.table_bytes,
		  vm->at_mark.table_bytes / 4096, vm->at_end.table_bytes / 4096);
	print_row(vm, "bytes beside them",
		  vm->at_mark.metadata_bytes || vm->at_end.metadata_bytes,
		  vm->at_mark.metadata_bytes, vm->at_end.metadata_bytes);
	for (j = 0; j < stats->count; j++) {
		name = strchr(stats->names[j], '.') + 1;
		if (!strncmp(name, altmmu, strlen(altmmu)))
			print_value(vm, name, j);
	}
	print_provider(vm);
}

/**
 * stats_print - what was sampled, on stderr
 * @vm: with its last sample taken
 */
void stats_print(const struct vm *vm)
{
	if (vm->options->stats == STATS_RAW)
		print_raw(vm);
	else
		print_table(vm);
}
