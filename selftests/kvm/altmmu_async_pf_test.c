// SPDX-License-Identifier: GPL-2.0
/*
 * Asynchronous page faults: a guest that knows them goes on while the host gets a
 * page, and has it mapped when it is told that the page is there.  One that does
 * not know them halts meanwhile, and takes interrupts.
 *
 * It is userfaultfd that holds pages back, until the guest has said what it knows.
 * Swap would not do: what zram has is there at once, and no fault waits for it.
 */
#include <poll.h>
#include <sys/syscall.h>
#include <asm/kvm_para.h>
#include <linux/userfaultfd.h>

#include "kselftest_harness.h"
#include "altmmu.h"
#include "apic.h"

/* Less than KVM waits for at a time, which is 64. */
#define NR_PAGES	32
#define TEST_SIZE	(NR_PAGES * PAGE_SIZE)

#define OTHER_SLOT	(TEST_SLOT + 1)
#define OTHER_GPA	(TEST_GPA + SZ_1G)

#define READY_VECTOR	0x40
#define OTHER_VECTOR	0x41

/* A token that means: every page that was waited for. */
#define ALL_TOKENS	(~0U)

static struct kvm_vcpu_pv_apf_data apf_data __aligned(64);

/* By page: the token by which the guest was told that it is missing. */
static u32 tokens[NR_PAGES];
static bool arrived[NR_PAGES];
static u64 nr_missing, nr_arrived;

static u64 nr_other_interrupts;

static u64 content(u64 page)
{
	return (page + 1) << 16;
}

static u64 *guest_word(u64 page)
{
	return (u64 *)(TEST_GPA + page * PAGE_SIZE);
}

/* Guest: a page is there.  The next one is announced when this is acknowledged. */
static void guest_page_ready(struct ex_regs *regs)
{
	u32 token = READ_ONCE(apf_data.token);
	u64 page = 0;

	while (page < NR_PAGES && tokens[page] != token)
		page++;
	if (page < NR_PAGES) {
		GUEST_ASSERT(!arrived[page]);
		arrived[page] = true;
		WRITE_ONCE(nr_arrived, nr_arrived + 1);
	} else {
		GUEST_ASSERT_EQ(token, ALL_TOKENS);
	}
	WRITE_ONCE(apf_data.token, 0);
	x2apic_write_reg(APIC_EOI, 0);
	wrmsr(MSR_KVM_ASYNC_PF_ACK, 1);
}

static void guest_other_interrupt(struct ex_regs *regs)
{
	WRITE_ONCE(nr_other_interrupts, nr_other_interrupts + 1);
	x2apic_write_reg(APIC_EOI, 0);
}

/* Whether the page is there; else remember how it was announced. */
static bool guest_try(u64 page)
{
	u8 vector = kvm_asm_safe("cmpq $0, (%[word])",
				 [word]"r"(guest_word(page)));

	if (!vector)
		return true;
	GUEST_ASSERT_EQ(vector, PF_VECTOR);
	GUEST_ASSERT_EQ(READ_ONCE(apf_data.flags),
			KVM_PV_REASON_PAGE_NOT_PRESENT);
	WRITE_ONCE(apf_data.flags, 0);
	tokens[page] = get_cr2();
	GUEST_ASSERT(tokens[page]);
	return false;
}

static void guest_wait_for_pages(void)
{
	cli();
	while (READ_ONCE(nr_arrived) < nr_missing) {
		safe_halt();
		cli();
	}
	sti();
}

static void guest_knows(gpa_t apf_gpa)
{
	x2apic_enable();
	wrmsr(MSR_KVM_ASYNC_PF_INT, READY_VECTOR);
	wrmsr(MSR_KVM_ASYNC_PF_EN, apf_gpa | KVM_ASYNC_PF_ENABLED |
	      KVM_ASYNC_PF_SEND_ALWAYS | KVM_ASYNC_PF_DELIVERY_AS_INT);
	sti();

	for (u64 page = 0; page < NR_PAGES; page++)
		if (!guest_try(page))
			nr_missing++;
	GUEST_SYNC(0);

	guest_wait_for_pages();
	GUEST_SYNC(0);

	for (u64 page = 0; page < NR_PAGES; page++) {
		u64 *word = guest_word(page);

		GUEST_ASSERT_EQ(READ_ONCE(*word), content(page));
		WRITE_ONCE(*word, content(page) + 1);
	}
	GUEST_SYNC(0);
}

static void guest_knows_nothing(gpa_t apf_gpa)
{
	x2apic_enable();
	sti();
	for (u64 page = 0; page < NR_PAGES; page++) {
		u64 *word = guest_word(page);

		GUEST_ASSERT_EQ(READ_ONCE(*word), content(page));
		WRITE_ONCE(*word, content(page) + 1);
	}
	GUEST_DONE();
}

FIXTURE(async_pf) {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu;
	void *mem;
	int uffd;
};

FIXTURE_VARIANT(async_pf) {
	u64 mmu;
};

FIXTURE_VARIANT_ADD(async_pf, kvm) {
	.mmu = KVM_X86_MMU_KVM,
};

FIXTURE_VARIANT_ADD(async_pf, altmmu) {
	.mmu = KVM_X86_MMU_ALTMMU,
};

FIXTURE_SETUP(async_pf)
{
	/*
	 * Before the VM, so that at the end of a process that fails it is closed
	 * before it: KVM would wait for whom userfaultfd keeps waiting.
	 */
	self->uffd = syscall(__NR_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	self->vm = mmu_create_with_vcpus(variant->mmu, 1, guest_knows,
					 &self->vcpu);
	vcpu_args_set(self->vcpu, 1, addr_gva2gpa(self->vm, (gva_t)&apf_data));
	vm_install_exception_handler(self->vm, READY_VECTOR, guest_page_ready);
	vm_install_exception_handler(self->vm, OTHER_VECTOR,
				     guest_other_interrupt);
	vm_userspace_mem_region_add(self->vm, VM_MEM_SRC_ANONYMOUS, TEST_GPA,
				    TEST_SLOT, NR_PAGES, 0);
	virt_map(self->vm, TEST_GPA, TEST_GPA, NR_PAGES);
	self->mem = addr_gpa2hva(self->vm, TEST_GPA);
}

FIXTURE_TEARDOWN(async_pf)
{
	if (self->uffd >= 0)
		close(self->uffd);
	kvm_vm_free(self->vm);
}

/* From now on pages come when supply() brings them.  False if that can't be. */
static bool hold_back(FIXTURE_DATA(async_pf) * self)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register area = {
		.range = { .start = (uintptr_t)self->mem, .len = TEST_SIZE },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	return self->uffd >= 0 && !ioctl(self->uffd, UFFDIO_API, &api) &&
	       !ioctl(self->uffd, UFFDIO_REGISTER, &area);
}

static void supply(FIXTURE_DATA(async_pf) * self, u64 page)
{
	static u64 words[PAGE_SIZE / sizeof(u64)] __aligned(PAGE_SIZE);
	struct uffdio_copy copy = {
		.dst = (uintptr_t)self->mem + page * PAGE_SIZE,
		.src = (uintptr_t)words,
		.len = PAGE_SIZE,
	};

	words[0] = content(page);
	TEST_ASSERT(!ioctl(self->uffd, UFFDIO_COPY, &copy),
		    "UFFDIO_COPY of page %lu, errno %d", page, errno);
}

static u64 guest_value(struct kvm_vm *vm, u64 *variable)
{
	return READ_ONCE(*(u64 *)host_pointer(vm, variable));
}

#define NO_USERFAULTFD	"no userfaultfd for what the kernel touches"

static void expect_written(struct __test_metadata *_metadata, void *mem)
{
	for (u64 page = 0; page < NR_PAGES; page++)
		ASSERT_EQ(content(page) + 1, *(u64 *)(mem + page * PAGE_SIZE));
}

/*
 * The guest runs on with none of the pages there.  When they have come they are
 * mapped: using them takes no faults, but for those that it takes meanwhile to
 * have again what else the guest had.
 */
static void go_on_without(struct __test_metadata *_metadata,
			  FIXTURE_DATA(async_pf) * self,
			  void (*meanwhile)(struct kvm_vm *vm), u64 faults_left)
{
	u64 faults;

	run_until_sync(self->vcpu);
	ASSERT_EQ(NR_PAGES, guest_value(self->vm, &nr_missing));
	ASSERT_EQ(0, guest_value(self->vm, &nr_arrived));

	if (meanwhile)
		meanwhile(self->vm);
	for (u64 page = NR_PAGES; page-- > 0;)
		supply(self, page);
	run_until_sync(self->vcpu);
	ASSERT_EQ(NR_PAGES, guest_value(self->vm, &nr_arrived));

	faults = vcpu_get_stat(self->vcpu, pf_taken);
	run_until_sync(self->vcpu);
	EXPECT_GE(faults + faults_left, vcpu_get_stat(self->vcpu, pf_taken));
	expect_written(_metadata, self->mem);
}

TEST_F_TIMEOUT(async_pf, announced, TEST_TIMEOUT_LONG)
{
	if (!hold_back(self))
		SKIP(return, NO_USERFAULTFD);
	go_on_without(_metadata, self, NULL, 0);
}

static void drop_roots(struct kvm_vm *vm)
{
	vm_userspace_mem_region_add(vm, VM_MEM_SRC_ANONYMOUS, OTHER_GPA,
				    OTHER_SLOT, 1, 0);
	vm_mem_region_delete(vm, OTHER_SLOT);
}

/* The root from which pages were missed is not the one in which they get mapped. */
TEST_F_TIMEOUT(async_pf, roots_gone, TEST_TIMEOUT_LONG)
{
	if (!hold_back(self))
		SKIP(return, NO_USERFAULTFD);
	go_on_without(_metadata, self, drop_roots, NR_PAGES / 2);
}

/* Pages whose slot is gone by the time they come: nobody is kept waiting. */
TEST_F_TIMEOUT(async_pf, slot_gone, TEST_TIMEOUT_LONG)
{
	struct uffdio_range range = {
		.start = (uintptr_t)self->mem,
		.len = TEST_SIZE,
	};

	if (!hold_back(self))
		SKIP(return, NO_USERFAULTFD);
	run_until_sync(self->vcpu);
	ASSERT_EQ(NR_PAGES, guest_value(self->vm, &nr_missing));

	vm_mem_region_delete(self->vm, TEST_SLOT);
	ASSERT_EQ(0, ioctl(self->uffd, UFFDIO_WAKE, &range));
	run_until_sync(self->vcpu);
	EXPECT_EQ(NR_PAGES, guest_value(self->vm, &nr_arrived));
}

/* Ask again and again, for ten seconds at most. */
#define wait_until(condition)						\
({									\
	bool _met = false;						\
									\
	for (int _i = 0; _i < 10000 && !_met; _i++) {			\
		_met = (condition);					\
		if (!_met)						\
			usleep(1000);					\
	}								\
	_met;								\
})

/* The page that somebody waits for, or -1 if nobody comes. */
static s64 page_wanted(FIXTURE_DATA(async_pf) * self)
{
	struct pollfd pollfd = { .fd = self->uffd, .events = POLLIN };
	struct uffd_msg msg;

	if (poll(&pollfd, 1, 10000) != 1 ||
	    read(self->uffd, &msg, sizeof(msg)) != sizeof(msg) ||
	    msg.event != UFFD_EVENT_PAGEFAULT)
		return -1;
	return (msg.arg.pagefault.address - (uintptr_t)self->mem) / PAGE_SIZE;
}

static void interrupt(struct kvm_vm *vm)
{
	struct kvm_msi msi = {
		.address_lo = APIC_DEFAULT_GPA,
		.data = OTHER_VECTOR,
	};

	TEST_ASSERT(__vm_ioctl(vm, KVM_SIGNAL_MSI, &msi) == 1,
		    "KVM_SIGNAL_MSI, errno %d", errno);
}

/*
 * A vCPU that waited in the host for a page would not count as halted, and would
 * take no interrupt.  After the interrupt it finds the page missing once more.
 */
TEST_F_TIMEOUT(async_pf, halted, TEST_TIMEOUT_LONG)
{
	struct kvm_vcpu *vcpu = self->vcpu;
	struct vcpu_thread thread;

	if (!hold_back(self))
		SKIP(return, NO_USERFAULTFD);
	vcpu_arch_set_entry_point(vcpu, guest_knows_nothing);
	vcpu_threads_start(&thread, &vcpu, 1);
	for (u64 page = 0; page < NR_PAGES; page++) {
		u64 before;

		ASSERT_EQ(page, page_wanted(self));
		ASSERT_TRUE(wait_until(vcpu_get_stat(vcpu, blocking)));
		before = guest_value(self->vm, &nr_other_interrupts);
		interrupt(self->vm);
		/* QEMU's CPU may take one twice, whoever's the page tables are. */
		ASSERT_TRUE(wait_until(guest_value(self->vm,
						   &nr_other_interrupts) >
				       before));
		ASSERT_TRUE(wait_until(vcpu_get_stat(vcpu, blocking)));
		supply(self, page);
	}
	vcpu_threads_stop(&thread, 1);
	expect_written(_metadata, self->mem);
}

int main(int argc, char *argv[])
{
	mmu_require_altmmu();
	TEST_REQUIRE(kvm_cpu_has(X86_FEATURE_KVM_ASYNC_PF_INT));
	return test_harness_run(argc, argv);
}
