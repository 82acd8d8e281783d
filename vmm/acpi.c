// SPDX-License-Identifier: GPL-2.0
/*
 * ACPI: tables that list the CPUs and say how to power off and reset, and the
 * two registers that this takes.  Sections are those of the ACPI specification.
 */
#include <stdlib.h>
#include <string.h>

#include "layout.h"
#include "vmm.h"

#define SLEEP_TYPE_OFF		5
#define PM1_SCI_ENABLE		BIT(0)
#define PM1_SLEEP_TYPE_SHIFT	10
#define PM1_SLEEP_ENABLE	BIT(13)

#define MADT_PC_COMPATIBLE	BIT(0)	/* there is a PIC as well */
#define MADT_LOCAL_APIC		0
#define MADT_IO_APIC		1
#define MADT_ENABLED		BIT(0)

#define FADT_WBINVD		BIT(0)
#define FADT_NO_POWER_BUTTON	BIT(4)
#define FADT_NO_SLEEP_BUTTON	BIT(5)
#define FADT_RESET_REGISTER	BIT(10)
#define FADT_NO_VGA		BIT(2)
#define FADT_NO_CMOS		BIT(5)
#define SPACE_IO		1

/* Name (\_S5, Package () { 5, 0, 0, 0 }) */
static const u8 dsdt_code[] = {
	0x08, '_', 'S', '5', '_',		/* Name */
	0x12, 0x07, 4,				/* Package of 7 bytes, 4 items */
	0x0a, SLEEP_TYPE_OFF, 0, 0, 0,
};

/* As they are in memory, without padding. */
#pragma pack(push, 1)

struct pointer {		/* 5.2.5.3, RSDP */
	char signature[8];
	u8 checksum;
	char oem[6];
	u8 revision;
	u32 rsdt;
	u32 length;
	u64 xsdt;
	u8 extended_checksum;
	u8 reserved[3];
};

struct table {			/* 5.2.6 */
	char signature[4];
	u32 length;
	u8 revision;
	u8 checksum;
	char oem[6];
	char oem_table[8];
	u32 oem_revision;
	char creator[4];
	u32 creator_revision;
};

struct register_address {	/* 5.2.3.2 */
	u8 space, width, offset, access;
	u64 address;
};

struct fadt {			/* 5.2.9, revision 3 */
	struct table table;
	u32 facs, dsdt;
	u8 reserved, profile;
	u16 sci;
	u32 smi_command;
	u8 acpi_enable, acpi_disable, s4bios, pstate;
	u32 pm1a_event, pm1b_event, pm1a_control, pm1b_control;
	u32 pm2_control, pm_timer, gpe0, gpe1;
	u8 pm1_event_length, pm1_control_length, pm2_control_length;
	u8 pm_timer_length, gpe0_length, gpe1_length, gpe1_base, cstate;
	u16 c2_latency, c3_latency, flush_size, flush_stride;
	u8 duty_offset, duty_width, day_alarm, month_alarm, century;
	u16 boot_flags;
	u8 reserved2;
	u32 flags;
	struct register_address reset;
	u8 reset_value, reserved3[3];
	u64 x_facs, x_dsdt;
	struct register_address x_pm1a_event, x_pm1b_event, x_pm1a_control,
		x_pm1b_control, x_pm2_control, x_pm_timer, x_gpe0, x_gpe1;
};

struct madt {			/* 5.2.12 */
	struct table table;
	u32 local_apic;
	u32 flags;
};

struct madt_local_apic {
	u8 type, length, processor, id;
	u32 flags;
};

struct madt_io_apic {
	u8 type, length, id, reserved;
	u32 address, first_irq;
};

struct dsdt {			/* 5.2.11.1 */
	struct table table;
	u8 code[sizeof(dsdt_code)];
};

struct xsdt {			/* 5.2.8 */
	struct table table;
	u64 fadt, madt;
};

#pragma pack(pop)

/* Where the next table goes, behind the pointer to the first. */
struct writer {
	struct vm *vm;
	u64 address;
};

static u8 checksum(const void *data, size_t size)
{
	const u8 *byte = data;
	u8 sum = 0;

	while (size--)
		sum -= *byte++;
	return sum;
}

/* Finish a table that lies in its buffer, write it, and say where it is. */
static u64 put_table(struct writer *writer, struct table *table,
		     const char *signature, u8 revision, u32 size)
{
	u64 address = writer->address;

	memcpy(table->signature, signature, 4);
	table->length = size;
	table->revision = revision;
	memcpy(table->oem, "ALTMMU", 6);
	memcpy(table->oem_table, "VMM     ", 8);
	memcpy(table->creator, "VMM ", 4);
	table->oem_revision = 1;
	table->creator_revision = 1;
	table->checksum = checksum(table, size);
	memcpy(vm_memory(writer->vm, address, size), table, size);
	writer->address += (size + 15) / 16 * 16;
	return address;
}

static u64 put_dsdt(struct writer *writer)
{
	struct dsdt dsdt = { };

	memcpy(dsdt.code, dsdt_code, sizeof(dsdt_code));
	return put_table(writer, &dsdt.table, "DSDT", 2, sizeof(dsdt));
}

static u64 put_fadt(struct writer *writer, u64 dsdt)
{
	struct fadt fadt = {
		.dsdt = dsdt,
		.x_dsdt = dsdt,
		.sci = IRQ_ACPI,
		.pm1a_event = PORT_PM1_EVENT,
		.pm1_event_length = 4,
		.pm1a_control = PORT_PM1_CONTROL,
		.pm1_control_length = 2,
		.c2_latency = 0xffff,
		.c3_latency = 0xffff,
		.boot_flags = FADT_NO_VGA | FADT_NO_CMOS,
		.flags = FADT_WBINVD | FADT_NO_POWER_BUTTON |
			 FADT_NO_SLEEP_BUTTON | FADT_RESET_REGISTER,
		.reset = { SPACE_IO, 8, 0, 1, PORT_RESET },
		.reset_value = 6,
		.x_pm1a_event = { SPACE_IO, 32, 0, 2, PORT_PM1_EVENT },
		.x_pm1a_control = { SPACE_IO, 16, 0, 2, PORT_PM1_CONTROL },
	};

	return put_table(writer, &fadt.table, "FACP", 3, sizeof(fadt));
}

static u64 put_madt(struct writer *writer)
{
	struct madt_local_apic *local;
	struct madt_io_apic *io;
	struct madt *madt;
	size_t size;
	u64 address;
	int i;

	size = sizeof(*madt) + sizeof(*io) + writer->vm->cpus * sizeof(*local);
	madt = calloc(1, size);
	if (!madt)
		die("no memory for ACPI tables");
	madt->local_apic = LOCAL_APIC_ADDRESS;
	madt->flags = MADT_PC_COMPATIBLE;
	io = (void *)(madt + 1);
	*io = (struct madt_io_apic) {
		.type = MADT_IO_APIC, .length = sizeof(*io),
		.address = IO_APIC_ADDRESS,
	};
	local = (void *)(io + 1);
	for (i = 0; i < writer->vm->cpus; i++)
		local[i] = (struct madt_local_apic) {
			.type = MADT_LOCAL_APIC, .length = sizeof(*local),
			.processor = i, .id = i, .flags = MADT_ENABLED,
		};
	address = put_table(writer, &madt->table, "APIC", 3, size);
	free(madt);
	return address;
}

void acpi_build(struct vm *vm)
{
	struct pointer *pointer = vm_memory(vm, ACPI_ADDRESS, sizeof(*pointer));
	struct writer writer = { .vm = vm, .address = ACPI_ADDRESS + 64 };
	struct xsdt xsdt = { };

	xsdt.fadt = put_fadt(&writer, put_dsdt(&writer));
	xsdt.madt = put_madt(&writer);
	memset(pointer, 0, sizeof(*pointer));
	memcpy(pointer->signature, "RSD PTR ", 8);
	memcpy(pointer->oem, "ALTMMU", 6);
	pointer->revision = 2;
	pointer->length = sizeof(*pointer);
	pointer->xsdt = put_table(&writer, &xsdt.table, "XSDT", 1, sizeof(xsdt));
	/* The first 20 bytes are what revision 0 had. */
	pointer->checksum = checksum(pointer, 20);
	pointer->extended_checksum = checksum(pointer, sizeof(*pointer));
}

/* 4.8.3: status and enable (16 bits each), control.  No event ever comes. */
u32 acpi_read(struct vm *vm, u16 port)
{
	switch (port) {
	case PORT_PM1_EVENT + 2:
		return vm->pm1_enable;
	case PORT_PM1_CONTROL:
		return PM1_SCI_ENABLE;
	default:
		return 0;
	}
}

void acpi_write(struct vm *vm, u16 port, u32 value)
{
	if (port == PORT_PM1_EVENT + 2)
		vm->pm1_enable = value;
	if (port == PORT_PM1_CONTROL && value & PM1_SLEEP_ENABLE &&
	    (value >> PM1_SLEEP_TYPE_SHIFT & 7) == SLEEP_TYPE_OFF)
		vm_end(vm, STATUS_OFF);
}
