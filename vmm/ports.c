// SPDX-License-Identifier: GPL-2.0
/*
 * I/O ports: who answers at which.  Where nobody does, all bits read as one.
 */
#include <string.h>

#include "layout.h"
#include "vmm.h"

#define KEYBOARD_RESET	0xfe
#define RESET_CPU	BIT(2)

static u32 port_read(struct vm *vm, u16 port)
{
	switch (port) {
	case PORT_SERIAL ... PORT_SERIAL + 7:
		return serial_read(vm, port);
	case PORT_PM1_EVENT ... PORT_PM1_CONTROL + 1:
		return acpi_read(vm, port);
	case PORT_KEYBOARD:
		/* Ready for a command; without it a reboot takes a while. */
		return 0;
	case PORT_CMOS_DATA:
		/* A clock with all bits set would never be ready to be read. */
		return 0;
	default:
		return ~0U;
	}
}

static void port_write(struct vm *vm, u16 port, u32 value)
{
	switch (port) {
	case PORT_SERIAL ... PORT_SERIAL + 7:
		serial_write(vm, port, value);
		break;
	case PORT_PM1_EVENT ... PORT_PM1_CONTROL + 1:
		acpi_write(vm, port, value);
		break;
	case PORT_KEYBOARD:
		if (value == KEYBOARD_RESET)
			vm_end(vm, STATUS_RESET);
		break;
	case PORT_RESET:
		if (value & RESET_CPU)
			vm_end(vm, STATUS_RESET);
		break;
	case PORT_EXIT:
		vm_end(vm, value & 0xff);
		break;
	case PORT_USER_SPACE:
		vm_mark_user_space(vm);
		break;
	}
}

/**
 * ports_access - what the guest wants from an I/O port
 * @vm: the VM
 * @run: of the vCPU, after KVM_EXIT_IO
 */
void ports_access(struct vm *vm, struct kvm_run *run)
{
	u8 *data = (u8 *)run + run->io.data_offset;
	u32 i, value;

	for (i = 0; i < run->io.count; i++, data += run->io.size) {
		if (run->io.direction == KVM_EXIT_IO_IN) {
			value = port_read(vm, run->io.port);
			memcpy(data, &value, run->io.size);
		} else {
			value = 0;
			memcpy(&value, data, run->io.size);
			port_write(vm, run->io.port, value);
		}
	}
}
