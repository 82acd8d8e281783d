/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Where things are: guest-physical addresses and I/O ports.
 *
 * Memory begins at 0.  What does not fit below the hole for devices goes on at
 * 4G.  What is below 1M but the ACPI tables is the kernel's once it runs.
 */
#ifndef LAYOUT_H
#define LAYOUT_H

#define GDT_ADDRESS		0x1000
#define ZERO_PAGE_ADDRESS	0x2000
#define PAGE_TABLES_ADDRESS	0x3000	/* 6 pages */
#define COMMAND_LINE_ADDRESS	0x20000
#define LOW_MEMORY_END		0x9f000
#define ACPI_ADDRESS		0xe0000	/* where a kernel looks for it, too */
#define ACPI_SIZE		0x20000
#define HIGH_MEMORY_START	0x100000

#define HOLE_START		0xc0000000ULL
#define HOLE_END		0x100000000ULL
#define IO_APIC_ADDRESS		0xfec00000
#define LOCAL_APIC_ADDRESS	0xfee00000
/* Four pages that KVM wants for real mode on Intel. */
#define IDENTITY_MAP_ADDRESS	0xfffbc000
#define TSS_ADDRESS		0xfffbd000

#define PORT_KEYBOARD		0x64	/* 0xfe: reset */
#define PORT_CMOS_DATA		0x71
#define PORT_EXIT		0xf4	/* the guest's exit status */
#define PORT_USER_SPACE		0xf5	/* the guest has reached user space */
#define PORT_SERIAL		0x3f8
#define PORT_PM1_EVENT		0x600
#define PORT_PM1_CONTROL	0x604
#define PORT_RESET		0xcf9	/* bit 2: reset */

#define IRQ_SERIAL		4
#define IRQ_ACPI		9

#endif /* LAYOUT_H */
