// SPDX-License-Identifier: GPL-2.0
/*
 * ttyS0: a 16550A that sends at once, whose interrupt line is level 4.
 *
 * vCPUs read and write registers, the console's thread brings what was typed.
 */
#include "layout.h"
#include "vmm.h"

enum {				/* registers */
	DATA = 0,		/* or the divisor's low byte */
	INTERRUPT_ENABLE = 1,	/* or its high byte */
	INTERRUPT_ID = 2,	/* FIFO control when written */
	LINE_CONTROL = 3,
	MODEM_CONTROL = 4,
	LINE_STATUS = 5,
	MODEM_STATUS = 6,
	SCRATCH = 7,
};

#define IER_RECEIVE		0x01
#define IER_TRANSMIT		0x02
#define IER_ALL			0x0f

#define IIR_NONE		0x01
#define IIR_TRANSMIT		0x02
#define IIR_RECEIVE		0x04
#define IIR_FIFO		0xc0

#define FCR_ENABLE		0x01
#define FCR_CLEAR_RECEIVE	0x02

#define LCR_DIVISOR		0x80

#define MCR_DTR			0x01
#define MCR_RTS			0x02
#define MCR_OUT1		0x04
#define MCR_OUT2		0x08
#define MCR_LOOP		0x10

#define LSR_READY		0x01
#define LSR_TRANSMIT_EMPTY	0x60	/* both the register and the shifter */

#define MSR_CTS			0x10
#define MSR_DSR			0x20
#define MSR_RI			0x40
#define MSR_DCD			0x80

void serial_init(struct serial *serial)
{
	*serial = (struct serial) { .divisor = 1, .thr_empty = true };
	pthread_mutex_init(&serial->lock, NULL);
}

static u8 interrupt_id(const struct serial *serial)
{
	if (serial->ier & IER_RECEIVE && serial->count)
		return IIR_RECEIVE;
	if (serial->ier & IER_TRANSMIT && serial->thr_empty)
		return IIR_TRANSMIT;
	return IIR_NONE;
}

/*
 * What came before the driver listens would be lost when it empties the FIFO,
 * so it isn't let in.  A driver that only looks for a UART does without OUT2.
 */
static unsigned int room(const struct serial *serial)
{
	unsigned int depth = serial->fcr & FCR_ENABLE ? SERIAL_FIFO : 1;

	if (!(serial->ier & IER_RECEIVE) || !(serial->mcr & MCR_OUT2) ||
	    serial->mcr & MCR_LOOP || serial->count >= depth)
		return 0;
	return depth - serial->count;
}

/* After an access: the interrupt, and word to the console if it may go on. */
static void update(struct vm *vm, unsigned int room_before)
{
	struct serial *serial = &vm->serial;
	bool line = interrupt_id(serial) != IIR_NONE;

	if (line != serial->line) {
		serial->line = line;
		vm_interrupt(vm, IRQ_SERIAL, line);
	}
	if (!room_before && room(serial))
		vm_wake_console(vm);
}

static void push(struct serial *serial, u8 byte)
{
	unsigned int tail = (serial->head + serial->count) % SERIAL_FIFO;

	if (serial->count == SERIAL_FIFO)
		return;
	serial->fifo[tail] = byte;
	serial->count++;
}

static u8 pop(struct serial *serial)
{
	u8 byte;

	if (!serial->count)
		return 0;
	byte = serial->fifo[serial->head];
	serial->head = (serial->head + 1) % SERIAL_FIFO;
	serial->count--;
	return byte;
}

static u8 modem_status(const struct serial *serial)
{
	u8 status = 0;

	if (!(serial->mcr & MCR_LOOP))
		return MSR_CTS | MSR_DSR | MSR_DCD;
	if (serial->mcr & MCR_RTS)
		status |= MSR_CTS;
	if (serial->mcr & MCR_DTR)
		status |= MSR_DSR;
	if (serial->mcr & MCR_OUT1)
		status |= MSR_RI;
	if (serial->mcr & MCR_OUT2)
		status |= MSR_DCD;
	return status;
}

static u8 read_interrupt_id(struct serial *serial)
{
	u8 id = interrupt_id(serial);

	/* To have been told is to have it acknowledged. */
	if (id == IIR_TRANSMIT)
		serial->thr_empty = false;
	return serial->fcr & FCR_ENABLE ? id | IIR_FIFO : id;
}

static u8 read_register(struct serial *serial, int number)
{
	bool divisor = serial->lcr & LCR_DIVISOR;

	switch (number) {
	case DATA:
		return divisor ? serial->divisor & 0xff : pop(serial);
	case INTERRUPT_ENABLE:
		return divisor ? serial->divisor >> 8 : serial->ier;
	case INTERRUPT_ID:
		return read_interrupt_id(serial);
	case LINE_CONTROL:
		return serial->lcr;
	case MODEM_CONTROL:
		return serial->mcr;
	case LINE_STATUS:
		return LSR_TRANSMIT_EMPTY | (serial->count ? LSR_READY : 0);
	case MODEM_STATUS:
		return modem_status(serial);
	default:
		return serial->scratch;
	}
}

u8 serial_read(struct vm *vm, u16 port)
{
	struct serial *serial = &vm->serial;
	unsigned int before;
	u8 value;

	pthread_mutex_lock(&serial->lock);
	before = room(serial);
	value = read_register(serial, port - PORT_SERIAL);
	update(vm, before);
	pthread_mutex_unlock(&serial->lock);
	return value;
}

static void write_fifo_control(struct serial *serial, u8 value)
{
	/*
	 * Only when asked: Linux enables interrupts before it turns the FIFO
	 * on, and what came between is not to be lost.
	 */
	if (value & FCR_CLEAR_RECEIVE)
		serial->count = 0;
	serial->fcr = value & FCR_ENABLE;
}

/* Returns true if a byte is to be sent. */
static bool write_register(struct serial *serial, int number, u8 value)
{
	bool divisor = serial->lcr & LCR_DIVISOR;

	switch (number) {
	case DATA:
		if (divisor) {
			serial->divisor = (serial->divisor & 0xff00) | value;
			break;
		}
		serial->thr_empty = false;
		if (!(serial->mcr & MCR_LOOP))
			return true;
		serial->thr_empty = true;
		push(serial, value);
		break;
	case INTERRUPT_ENABLE:
		if (divisor) {
			serial->divisor = (serial->divisor & 0xff) | value << 8;
			break;
		}
		if (value & ~serial->ier & IER_TRANSMIT)
			serial->thr_empty = true;
		serial->ier = value & IER_ALL;
		break;
	case INTERRUPT_ID:
		write_fifo_control(serial, value);
		break;
	case LINE_CONTROL:
		serial->lcr = value;
		break;
	case MODEM_CONTROL:
		serial->mcr = value & 0x1f;
		break;
	case SCRATCH:
		serial->scratch = value;
		break;
	}
	return false;
}

void serial_write(struct vm *vm, u16 port, u8 value)
{
	struct serial *serial = &vm->serial;
	unsigned int before;

	pthread_mutex_lock(&serial->lock);
	before = room(serial);
	if (write_register(serial, port - PORT_SERIAL, value)) {
		/* Whoever reads our output may take their time. */
		pthread_mutex_unlock(&serial->lock);
		console_write(vm, value);
		pthread_mutex_lock(&serial->lock);
		before = room(serial);
		serial->thr_empty = true;
	}
	update(vm, before);
	pthread_mutex_unlock(&serial->lock);
}

/* How many bytes it takes now; the console is woken when that is no longer 0. */
unsigned int serial_room(struct serial *serial)
{
	unsigned int bytes;

	pthread_mutex_lock(&serial->lock);
	bytes = room(serial);
	pthread_mutex_unlock(&serial->lock);
	return bytes;
}

void serial_receive(struct vm *vm, const u8 *data, unsigned int count)
{
	pthread_mutex_lock(&vm->serial.lock);
	while (count--)
		push(&vm->serial, *data++);
	update(vm, 1);
	pthread_mutex_unlock(&vm->serial.lock);
}
