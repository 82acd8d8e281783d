// SPDX-License-Identifier: GPL-2.0
/*
 * vCPUs: a thread each, which runs the guest until somebody ends it, and what
 * is printed when the guest can't go on.
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "private.h"

#define KICK_SIGNAL	SIGRTMIN
#define KICK_INTERVAL_NS	(10 * 1000 * 1000)
#define NSEC_PER_SEC	(1000 * 1000 * 1000)

static void kicked(int signal)
{
	/* Only to make KVM_RUN return. */
	(void)signal;
}

void vcpus_create(struct vm *vm)
{
	int i, most, size;

	vm->cpus = vm->options->cpus;
	most = ioctl(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);
	if (most > 0 && vm->cpus > most)
		die("--cpus %d: this host's KVM has at most %d", vm->cpus, most);
	size = KVM_CALL(vm->device, KVM_GET_VCPU_MMAP_SIZE, 0);
	vm->run_size = size;
	vm->vcpus = calloc(vm->cpus, sizeof(*vm->vcpus));
	if (!vm->vcpus)
		die("no memory for %d vCPUs", vm->cpus);
	for (i = 0; i < vm->cpus; i++) {
		struct vcpu *vcpu = &vm->vcpus[i];

		vcpu->vm = vm;
		vcpu->id = i;
		vcpu->fd = KVM_CALL(vm->fd, KVM_CREATE_VCPU, i);
		vcpu->run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED,
				 vcpu->fd, 0);
		if (vcpu->run == MAP_FAILED)
			die_errno("mapping vCPU %d", i);
	}
	cpuid_set(vm);
}

/* The guest can't go on; this is what is printed in the end. */
__printf(3, 4)
static void crash(struct vcpu *vcpu, int status, const char *format, ...)
{
	struct ending *ending = &vcpu->vm->ending;
	va_list arguments;

	if (!vm_end(vcpu->vm, status))
		return;
	va_start(arguments, format);
	vsnprintf(ending->crash, sizeof(ending->crash), format, arguments);
	va_end(arguments);
	ending->crash_vcpu = vcpu->id;
	KVM_CALL(vcpu->fd, KVM_GET_REGS, &ending->regs);
	KVM_CALL(vcpu->fd, KVM_GET_SREGS, &ending->sregs);
}

static void crash_shutdown(struct vcpu *vcpu)
{
	struct kvm_sregs sregs;
	bool reset;

	/*
	 * SVM leaves nothing to look at after a shutdown, so KVM gives the
	 * vCPU an INIT.
	 */
	KVM_CALL(vcpu->fd, KVM_GET_SREGS, &sregs);
	reset = !(sregs.cr0 & 1) && sregs.cs.base == 0xffff0000;
	crash(vcpu, STATUS_CRASH, "triple fault%s", reset ?
	      " (AMD: the registers are lost, these are those of a reset)" : "");
}

/* What KVM could not emulate, as far as it says. */
static void print_instruction(const struct kvm_run *run, char *text, size_t room)
{
	size_t i, used;

	if (run->emulation_failure.ndata < 3 ||
	    !(run->emulation_failure.flags &
	      KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES))
		return;
	used = snprintf(text, room, ", instruction");
	for (i = 0; i < run->emulation_failure.insn_size && i < 15; i++)
		used += snprintf(text + used, room - used, " %02x",
				 run->emulation_failure.insn_bytes[i]);
}

static void print_data(const struct kvm_run *run, char *text, size_t room)
{
	size_t i, used = 0;

	for (i = 0; i < run->internal.ndata && i < 4; i++)
		used += snprintf(text + used, room - used, "%s 0x%llx",
				 i ? "" : ", data", run->internal.data[i]);
}

static void crash_internal(struct vcpu *vcpu)
{
	static const char * const names[] = {
		[KVM_INTERNAL_ERROR_EMULATION] = "emulation failed",
		[KVM_INTERNAL_ERROR_SIMUL_EX] = "simultaneous exceptions",
		[KVM_INTERNAL_ERROR_DELIVERY_EV] = "exit while delivering an event",
		[KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON] = "unexpected exit",
	};
	const struct kvm_run *run = vcpu->run;
	u32 suberror = run->internal.suberror;
	char data[96] = "";

	if (suberror == KVM_INTERNAL_ERROR_EMULATION)
		print_instruction(run, data, sizeof(data));
	else
		print_data(run, data, sizeof(data));
	crash(vcpu, STATUS_CRASH, "KVM internal error %u (%s)%s", suberror,
	      suberror < ARRAY_SIZE(names) && names[suberror] ?
	      names[suberror] : "unknown", data);
}

/* KVM_RUN has failed: memory that is not of the kind that was used? */
static void handle_error(struct vcpu *vcpu)
{
	int error = errno;
	struct memory_fault fault;

	if (error == EINTR || error == EAGAIN)
		return;
	if (vcpu->run->exit_reason != KVM_EXIT_MEMORY_FAULT)
		die_errno("KVM_RUN on vCPU %d", vcpu->id);
	if (error == EFAULT && vcpu->vm->options->private &&
	    private_fault(vcpu))
		return;
	memcpy(&fault, vcpu->run->padding, sizeof(fault));
	crash(vcpu, STATUS_FAULT,
	      "memory fault at 0x%llx, %llu bytes, used as %s: %s",
	      fault.gpa, fault.size,
	      fault.flags & KVM_MEMORY_EXIT_FLAG_PRIVATE ? "private" : "shared",
	      strerror(error));
}

/* One exit from the guest. */
static void handle_exit(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		ports_access(vcpu->vm, run);
		break;
	case KVM_EXIT_MMIO:
		/* There is nothing. */
		if (!run->mmio.is_write)
			memset(run->mmio.data, 0xff, sizeof(run->mmio.data));
		break;
	case KVM_EXIT_INTR:
		break;
	case KVM_EXIT_HYPERCALL:
		private_hypercall(vcpu->vm, run);
		break;
	case KVM_EXIT_SHUTDOWN:
		crash_shutdown(vcpu);
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		crash_internal(vcpu);
		break;
	case KVM_EXIT_FAIL_ENTRY:
		crash(vcpu, STATUS_CRASH,
		      "the CPU refused to enter the guest, reason 0x%llx",
		      run->fail_entry.hardware_entry_failure_reason);
		break;
	default:
		crash(vcpu, STATUS_CRASH, "unexpected exit from KVM, reason %u",
		      run->exit_reason);
		break;
	}
}

static void *vcpu_thread(void *argument)
{
	struct vcpu *vcpu = argument;
	sigset_t kick;

	sigemptyset(&kick);
	sigaddset(&kick, KICK_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &kick, NULL);
	while (!atomic_load(&vcpu->vm->ended)) {
		if (ioctl(vcpu->fd, KVM_RUN, 0) < 0) {
			handle_error(vcpu);
			continue;
		}
		vcpu->faults = 0;
		handle_exit(vcpu);
	}
	return NULL;
}

void vcpus_start(struct vm *vm)
{
	struct sigaction action = { .sa_handler = kicked };
	sigset_t all, before;
	int i, error;

	sigaction(KICK_SIGNAL, &action, NULL);
	/* What can be blocked is for the console's thread. */
	sigfillset(&all);
	console_keep_fatal(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	vm->started = now_nanoseconds();
	for (i = 0; i < vm->cpus; i++) {
		error = pthread_create(&vm->vcpus[i].thread, NULL, vcpu_thread,
				       &vm->vcpus[i]);
		if (error)
			die("a thread for vCPU %d: %s", i, strerror(error));
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/*
 * Whoever has not yet seen the end may be about to wait, and needs another kick.
 */
static void vcpu_stop(struct vcpu *vcpu)
{
	struct timespec until;

	do {
		pthread_kill(vcpu->thread, KICK_SIGNAL);
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += KICK_INTERVAL_NS;
		until.tv_sec += until.tv_nsec / NSEC_PER_SEC;
		until.tv_nsec %= NSEC_PER_SEC;
	} while (pthread_timedjoin_np(vcpu->thread, NULL, &until));
}

/* The guest has ended: get every vCPU out of KVM_RUN, or out of a write. */
void vcpus_stop(struct vm *vm)
{
	int i;

	for (i = 0; i < vm->cpus; i++)
		vm->vcpus[i].run->immediate_exit = 1;
	for (i = 0; i < vm->cpus; i++)
		vcpu_stop(&vm->vcpus[i]);
}

static void print_segment(const char *name, const struct kvm_segment *segment)
{
	fprintf(stderr, "  %-4s %04x base %016llx limit %08x type %x dpl %u%s%s\n",
		name, segment->selector, segment->base, segment->limit,
		segment->type, segment->dpl, segment->l ? " 64-bit" : "",
		segment->present ? "" : " absent");
}

void print_crash(const struct ending *ending)
{
	const struct kvm_regs *r = &ending->regs;
	const struct kvm_sregs *s = &ending->sregs;

	fprintf(stderr, "vmm: the guest crashed on vCPU %d: %s\n",
		ending->crash_vcpu, ending->crash);
	/* What it did wrong is in that line. */
	if (ending->status == STATUS_FAULT)
		return;
	fprintf(stderr, "  rip %016llx  rflags %016llx  rsp %016llx\n",
		r->rip, r->rflags, r->rsp);
	fprintf(stderr, "  rax %016llx  rbx %016llx  rcx %016llx  rdx %016llx\n",
		r->rax, r->rbx, r->rcx, r->rdx);
	fprintf(stderr, "  rsi %016llx  rdi %016llx  rbp %016llx  r8  %016llx\n",
		r->rsi, r->rdi, r->rbp, r->r8);
	fprintf(stderr, "  r9  %016llx  r10 %016llx  r11 %016llx  r12 %016llx\n",
		r->r9, r->r10, r->r11, r->r12);
	fprintf(stderr, "  r13 %016llx  r14 %016llx  r15 %016llx\n",
		r->r13, r->r14, r->r15);
	fprintf(stderr, "  cr0 %016llx  cr2 %016llx  cr3 %016llx  cr4 %016llx\n",
		s->cr0, s->cr2, s->cr3, s->cr4);
	fprintf(stderr, "  efer %llx  apic %llx  gdt %llx+%x  idt %llx+%x\n",
		s->efer, s->apic_base, s->gdt.base, s->gdt.limit, s->idt.base,
		s->idt.limit);
	print_segment("cs", &s->cs);
	print_segment("ds", &s->ds);
	print_segment("es", &s->es);
	print_segment("fs", &s->fs);
	print_segment("gs", &s->gs);
	print_segment("ss", &s->ss);
	print_segment("tr", &s->tr);
	print_segment("ldt", &s->ldt);
}
