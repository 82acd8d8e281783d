// SPDX-License-Identifier: GPL-2.0
/*
 * A bzImage, its initramfs and command line into memory, and the first vCPU to
 * its entry: the kernel's 64-bit boot protocol (Documentation/arch/x86/boot.rst
 * and zero-page.rst in the kernel tree).
 */
#include <asm/bootparam.h>
#include <stdlib.h>
#include <string.h>

#include "layout.h"
#include "vmm.h"

#define SECTOR			512
#define HEADER_OFFSET		0x1f1
#define HEADER_END_OFFSET	0x201	/* a byte: from 0x202 on */
#define HEADER_MAGIC		0x53726448
#define BOOT_FLAG		0xaa55
#define PROTOCOL_64_BIT		0x20c	/* has xloadflags */
#define LOADER_UNKNOWN		0xff
#define ENTRY_64_BIT		0x200
#define KERNEL_MAX		(256 * MIB)

/* Selectors that the protocol wants. */
#define BOOT_CODE		0x10
#define BOOT_DATA		0x18
#define GDT_SIZE		0x20

#define PAGE_SIZE		4096ULL
#define PTE_PRESENT		BIT(0)
#define PTE_WRITE		BIT(1)
#define PTE_HUGE		BIT(7)

#define CR0_PE			BIT(0)
#define CR0_NE			BIT(5)
#define CR0_PG			BIT(31)
#define CR4_PAE			BIT(5)
#define EFER_LME		BIT(8)
#define EFER_LMA		BIT(10)

#define MSR_MTRR_DEFAULT_TYPE	0x2ff
#define MTRR_ENABLE		BIT(11)
#define MTRR_WRITE_BACK		6

static size_t setup_size(const struct setup_header *header)
{
	/* 0 is from a time when it was always 4. */
	return ((header->setup_sects ? header->setup_sects : 4) + 1) * SECTOR;
}

static void get_header(const struct image *kernel, struct setup_header *header)
{
	memcpy(header, kernel->data + HEADER_OFFSET, sizeof(*header));
}

/* How large a kernel may be, from how it begins; dies if it is none. */
static u64 check_header(const char *path, const struct image *kernel,
			const void *unused)
{
	struct setup_header header;
	u64 most;

	(void)unused;
	if (kernel->size < 2 * SECTOR)
		die("kernel %s is not a bzImage: too short", path);
	get_header(kernel, &header);
	if (header.boot_flag != BOOT_FLAG || header.header != HEADER_MAGIC)
		die("kernel %s is not a bzImage", path);
	if (header.version < PROTOCOL_64_BIT ||
	    !(header.xloadflags & XLF_KERNEL_64))
		die("kernel %s has no 64-bit entry", path);
	if (header.pref_address < HIGH_MEMORY_START)
		die("kernel %s wants to be loaded below 1M", path);
	/* It unpacks itself to where it is loaded. */
	most = setup_size(&header) + (u64)header.init_size;
	return most < KERNEL_MAX ? most : KERNEL_MAX;
}

static void check_length(const char *path, const struct image *kernel)
{
	struct setup_header header;

	get_header(kernel, &header);
	if (kernel->size < setup_size(&header) + header.syssize * 16ULL)
		die("kernel %s is cut short: %zu bytes, its header says %llu",
		    path, kernel->size,
		    setup_size(&header) + header.syssize * 16ULL);
}

/* An initramfs that the guest has no room for is not read to its end. */
static u64 initrd_limit(const char *path, const struct image *initrd,
			const void *data)
{
	const struct options *options = data;

	(void)path;
	(void)initrd;
	return options->memory;
}

/**
 * boot_read - read what is to be booted, and see that it can be
 * @options: where it is
 * @kernel: filled in
 * @initrd: filled in, of size 0 if there is none
 *
 * Needs no KVM.
 */
void boot_read(const struct options *options, struct image *kernel,
	       struct image *initrd)
{
	struct setup_header header;

	kernel->data = read_file(options->kernel, "kernel", 2 * SECTOR,
				 check_header, NULL, &kernel->size);
	check_length(options->kernel, kernel);
	get_header(kernel, &header);
	if (strlen(options->append) > header.cmdline_size)
		die("--append is %zu characters, the kernel takes %u",
		    strlen(options->append), header.cmdline_size);

	initrd->size = 0;
	if (options->initrd)
		initrd->data = read_file(options->initrd, "initrd", 0,
					 initrd_limit, options, &initrd->size);
}

static void add_range(struct boot_params *params, u64 start, u64 end, u32 type)
{
	struct boot_e820_entry *entry;

	if (start >= end)
		return;
	entry = &params->e820_table[params->e820_entries++];
	entry->addr = start;
	entry->size = end - start;
	entry->type = type;
}

static void describe_memory(const struct vm *vm, struct boot_params *params)
{
	enum { RAM = 1, RESERVED = 2 };

	add_range(params, 0, LOW_MEMORY_END, RAM);
	add_range(params, LOW_MEMORY_END, HIGH_MEMORY_START, RESERVED);
	add_range(params, HIGH_MEMORY_START, vm_low_memory(vm), RAM);
	add_range(params, HOLE_END, HOLE_END + vm_high_memory(vm), RAM);
}

/* As high as it may be, out of the way of a kernel that is yet to unpack. */
static void load_initrd(struct vm *vm, struct boot_params *params,
			const struct image *initrd, u64 kernel_end)
{
	u64 top = vm_low_memory(vm), start;

	if (!initrd->size)
		return;
	if (top > params->hdr.initrd_addr_max + 1ULL)
		top = params->hdr.initrd_addr_max + 1ULL;
	start = top - initrd->size;
	start -= start % PAGE_SIZE;
	if (initrd->size > top || start < kernel_end)
		die("--memory: too little for this kernel and an initrd of %zu bytes",
		    initrd->size);
	memcpy(vm_memory(vm, start, initrd->size), initrd->data, initrd->size);
	params->hdr.ramdisk_image = start;
	params->hdr.ramdisk_size = initrd->size;
}

/* The first 4G at their own addresses, in pages of 2M. */
static void build_page_tables(struct vm *vm)
{
	u64 *table = vm_memory(vm, PAGE_TABLES_ADDRESS, 6 * PAGE_SIZE);
	u64 link = PTE_PRESENT | PTE_WRITE;
	int i;

	memset(table, 0, 6 * PAGE_SIZE);
	table[0] = (PAGE_TABLES_ADDRESS + PAGE_SIZE) | link;
	for (i = 0; i < 4; i++)
		table[512 + i] = (PAGE_TABLES_ADDRESS + (2 + i) * PAGE_SIZE) |
				 link;
	for (i = 0; i < 4 * 512; i++)
		table[1024 + i] = i * 2 * MIB | link | PTE_HUGE;
}

static void build_gdt(struct vm *vm)
{
	u64 *gdt = vm_memory(vm, GDT_ADDRESS, GDT_SIZE);

	gdt[0] = 0;
	gdt[1] = 0;
	gdt[BOOT_CODE / 8] = 0x00af9b000000ffff;
	gdt[BOOT_DATA / 8] = 0x00cf93000000ffff;
}

/* Memory is cached unless a page table says otherwise, as firmware has it. */
static void set_memory_type(struct vcpu *vcpu)
{
	struct kvm_msrs *msrs;

	msrs = calloc(1, sizeof(*msrs) + sizeof(msrs->entries[0]));
	if (!msrs)
		die("no memory for MSRs");
	msrs->nmsrs = 1;
	msrs->entries[0].index = MSR_MTRR_DEFAULT_TYPE;
	msrs->entries[0].data = MTRR_ENABLE | MTRR_WRITE_BACK;
	KVM_CALL(vcpu->fd, KVM_SET_MSRS, msrs);
	free(msrs);
}

/* 64-bit mode, paging on, interrupts off; what the kernel is told is in rsi. */
static void set_entry(struct vcpu *vcpu, u64 entry)
{
	struct kvm_segment code = {
		.selector = BOOT_CODE, .limit = ~0U, .type = 0xb,
		.present = 1, .s = 1, .l = 1, .g = 1,
	};
	struct kvm_segment data = {
		.selector = BOOT_DATA, .limit = ~0U, .type = 0x3,
		.present = 1, .s = 1, .db = 1, .g = 1,
	};
	struct kvm_regs regs = {
		.rip = entry,
		.rsi = ZERO_PAGE_ADDRESS,
		.rflags = 1 << 1,
	};
	struct kvm_sregs sregs;

	KVM_CALL(vcpu->fd, KVM_GET_SREGS, &sregs);
	sregs.cs = code;
	sregs.ds = data;
	sregs.es = data;
	sregs.ss = data;
	sregs.gdt.base = GDT_ADDRESS;
	sregs.gdt.limit = GDT_SIZE - 1;
	sregs.idt.limit = 0;
	sregs.cr0 |= CR0_PE | CR0_NE | CR0_PG;
	sregs.cr3 = PAGE_TABLES_ADDRESS;
	sregs.cr4 |= CR4_PAE;
	sregs.efer |= EFER_LME | EFER_LMA;
	KVM_CALL(vcpu->fd, KVM_SET_SREGS, &sregs);
	KVM_CALL(vcpu->fd, KVM_SET_REGS, &regs);
}

/**
 * boot_load - all that the kernel wants to find in memory
 * @vm: with memory and the first vCPU
 * @kernel: as boot_read() left it
 * @initrd: likewise
 */
void boot_load(struct vm *vm, const struct image *kernel,
	       const struct image *initrd)
{
	size_t size = strlen(vm->options->append) + 1, length, setup;
	struct setup_header header;
	struct boot_params *params;
	u64 start;
	int i;

	get_header(kernel, &header);
	setup = setup_size(&header);
	start = header.pref_address;
	if (!vm_memory(vm, start, header.init_size))
		die("--memory: too little, this kernel needs %llu MiB to start",
		    (start + header.init_size) / MIB + 1);
	memcpy(vm_memory(vm, start, kernel->size - setup),
	       kernel->data + setup, kernel->size - setup);

	params = vm_memory(vm, ZERO_PAGE_ADDRESS, sizeof(*params));
	memset(params, 0, sizeof(*params));
	length = HEADER_END_OFFSET + 1 + kernel->data[HEADER_END_OFFSET] -
		 HEADER_OFFSET;
	if (length > sizeof(header))
		length = sizeof(header);
	memcpy(&params->hdr, &header, length);
	params->hdr.type_of_loader = LOADER_UNKNOWN;
	params->hdr.cmd_line_ptr = COMMAND_LINE_ADDRESS;
	params->acpi_rsdp_addr = ACPI_ADDRESS;
	memcpy(vm_memory(vm, COMMAND_LINE_ADDRESS, size), vm->options->append,
	       size);
	describe_memory(vm, params);
	load_initrd(vm, params, initrd, start + header.init_size);

	build_page_tables(vm);
	build_gdt(vm);
	for (i = 0; i < vm->cpus; i++)
		set_memory_type(&vm->vcpus[i]);
	set_entry(&vm->vcpus[0], start + ENTRY_64_BIT);
}
