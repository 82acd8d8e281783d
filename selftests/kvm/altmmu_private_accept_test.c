// SPDX-License-Identifier: GPL-2.0
/*
 * Soft-mirror VMs whose guests have to accept the private memory that they get:
 * what it takes to have a page, and what the guest starts with.
 */
#include "kselftest_harness.h"
#include "altmmu_private.h"

#define TEST_SIZE	SZ_4M

FIXTURE(accept) {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu;
	struct guest_request *request;
};

FIXTURE_SETUP(accept)
{
	self->vm = private_create_serving(0, 0, &self->vcpu);
	self->request = host_request(self->vm);
	private_add_memory(self->vm, TEST_GPA, TEST_SLOT, TEST_SIZE);
	private_map_views(self->vm, TEST_GPA, TEST_SIZE, PG_LEVEL_4K);
	vm_mem_set_private(self->vm, TEST_GPA, TEST_SIZE);
}

FIXTURE_TEARDOWN(accept)
{
	kvm_vm_free(self->vm);
}

/* What is accepted is there, and zeroed. */
TEST_F(accept, accept_then_use)
{
	private_finalize(self->vm);
	EXPECT_EQ(ACCEPT_OK, accept_page(self->vcpu, PAGE_GPA(3), 1));
	EXPECT_EQ(0, private_word(self->vcpu, 3, 0xaaaa));
	EXPECT_EQ(0xaaaa, private_word(self->vcpu, 3, 0));
}

/* What is not accepted is the host's decision, though it is there. */
TEST_F(accept, use_then_accept)
{
	private_finalize(self->vm);
	*self->request = (struct guest_request) { .gva = PAGE_GPA(3) };
	EXPECT_TRUE(exits_at(self->vcpu, PAGE_GPA(3), true));
	EXPECT_TRUE(exits_at(self->vcpu, PAGE_GPA(3), true));
	skip_access(self->vcpu);
	run_until_sync(self->vcpu);

	ASSERT_EQ(0, private_pre_fault(self->vcpu, PAGE_GPA(3), PAGE_SIZE));
	*self->request = (struct guest_request) { .gva = PAGE_GPA(3) };
	EXPECT_TRUE(exits_at(self->vcpu, PAGE_GPA(3), true));
	skip_access(self->vcpu);
	run_until_sync(self->vcpu);

	EXPECT_EQ(ACCEPT_OK, accept_page(self->vcpu, PAGE_GPA(3), 1));
	EXPECT_EQ(0, private_word(self->vcpu, 3, 0xaaaa));
}

TEST_F(accept, twice)
{
	private_finalize(self->vm);
	EXPECT_EQ(ACCEPT_OK, accept_page(self->vcpu, PAGE_GPA(3), 1));
	EXPECT_EQ(0, private_word(self->vcpu, 3, 0xaaaa));
	EXPECT_EQ(ACCEPT_ALREADY, accept_page(self->vcpu, PAGE_GPA(3), 1));
	EXPECT_EQ(0xaaaa, private_word(self->vcpu, 3, 0));
}

/* Where pages of 4K are, 2M can't be accepted; the guest gets to know. */
TEST_F(accept, wrong_size)
{
	private_finalize(self->vm);
	EXPECT_EQ(ACCEPT_OK, accept_page(self->vcpu, PAGE_GPA(512), 1));
	EXPECT_EQ(ACCEPT_SIZE, accept_page(self->vcpu, PAGE_GPA(512), 2));
	EXPECT_EQ(0, private_word(self->vcpu, 512, 0));
}

/* Also if none is there yet: the host has no larger ones to give. */
TEST_F(accept, large_first)
{
	private_finalize(self->vm);
	EXPECT_EQ(ACCEPT_SIZE, accept_page(self->vcpu, PAGE_GPA(512), 2));
	EXPECT_EQ(ACCEPT_OK, accept_page(self->vcpu, PAGE_GPA(512), 1));
}

TEST_F(accept, nonsense)
{
	const u64 bit = BIT_ULL(private_shared_bit(self->vm));

	private_finalize(self->vm);
	EXPECT_EQ(ACCEPT_OPERAND, accept_page(self->vcpu, TEST_GPA, 3));
	EXPECT_EQ(ACCEPT_OPERAND, accept_page(self->vcpu, TEST_GPA, ~0ULL));
	EXPECT_EQ(ACCEPT_OPERAND, accept_page(self->vcpu, PAGE_GPA(3), 2));
	EXPECT_EQ(ACCEPT_OPERAND, accept_page(self->vcpu, TEST_GPA + 8, 1));
	EXPECT_EQ(ACCEPT_OPERAND, accept_page(self->vcpu, TEST_GPA | bit, 1));
	EXPECT_EQ(ACCEPT_OPERAND, accept_page(self->vcpu, bit << 1, 1));
}

/* Shared memory is not to be accepted: the host is told. */
TEST_F(accept, shared)
{
	private_finalize(self->vm);
	vm_mem_set_shared(self->vm, PAGE_GPA(3), PAGE_SIZE);
	*self->request = (struct guest_request) {
		.gpa = PAGE_GPA(3),
		.accept_level = 1,
	};
	EXPECT_TRUE(exits_at(self->vcpu, PAGE_GPA(3), true));
	vm_mem_set_private(self->vm, PAGE_GPA(3), PAGE_SIZE);
	run_until_sync(self->vcpu);
	EXPECT_EQ(ACCEPT_OK, self->request->accepted);
}

/* After a conversion it is to be accepted again, and is empty. */
TEST_F(accept, again_after_conversion)
{
	private_finalize(self->vm);
	EXPECT_EQ(ACCEPT_OK, accept_page(self->vcpu, PAGE_GPA(3), 1));
	EXPECT_EQ(0, private_word(self->vcpu, 3, 0xaaaa));
	vm_mem_set_shared(self->vm, PAGE_GPA(3), PAGE_SIZE);
	vm_mem_set_private(self->vm, PAGE_GPA(3), PAGE_SIZE);

	*self->request = (struct guest_request) { .gva = PAGE_GPA(3) };
	EXPECT_TRUE(exits_at(self->vcpu, PAGE_GPA(3), true));
	skip_access(self->vcpu);
	run_until_sync(self->vcpu);
	EXPECT_EQ(ACCEPT_OK, accept_page(self->vcpu, PAGE_GPA(3), 1));
	EXPECT_EQ(0, private_word(self->vcpu, 3, 0));
}

/* And after a hole. */
TEST_F(accept, again_after_hole)
{
	private_finalize(self->vm);
	for (u64 page = 3; page < 5; page++) {
		EXPECT_EQ(ACCEPT_OK, accept_page(self->vcpu, PAGE_GPA(page), 1));
		EXPECT_EQ(0, private_word(self->vcpu, page, page));
	}
	vm_guest_mem_punch_hole(self->vm, PAGE_GPA(3), PAGE_SIZE);
	EXPECT_EQ(ACCEPT_OK, accept_page(self->vcpu, PAGE_GPA(3), 1));
	EXPECT_EQ(0, private_word(self->vcpu, 3, 0));
	EXPECT_EQ(ACCEPT_ALREADY, accept_page(self->vcpu, PAGE_GPA(4), 1));
	EXPECT_EQ(4, private_word(self->vcpu, 4, 0));
}

/*
 * What is there before the end of adding is the guest's as it is: the program,
 * which runs, and pages beside it that were not added are to be accepted.
 */
TEST_F(accept, initial_pages)
{
	struct provider_counts counts;

	EXPECT_EQ(0, private_pre_fault(self->vcpu, PAGE_GPA(3), PAGE_SIZE));
	private_finalize(self->vm);
	provider_read(self->vm, &counts);
	EXPECT_EQ(0, counts.map);
	EXPECT_LE(1, counts.add);

	EXPECT_EQ(0, private_word(self->vcpu, 3, 0xaaaa));
	EXPECT_EQ(ACCEPT_ALREADY, accept_page(self->vcpu, PAGE_GPA(3), 1));
	EXPECT_EQ(0xaaaa, private_word(self->vcpu, 3, 0));
	EXPECT_EQ(ACCEPT_OK, accept_page(self->vcpu, PAGE_GPA(4), 1));
	provider_read(self->vm, &counts);
	EXPECT_LE(1, counts.map);
}

/* An initial page that has gone is as any other. */
TEST_F(accept, initial_page_removed)
{
	EXPECT_EQ(0, private_pre_fault(self->vcpu, PAGE_GPA(3), PAGE_SIZE));
	private_finalize(self->vm);
	EXPECT_EQ(0, private_word(self->vcpu, 3, 0xaaaa));
	vm_mem_set_shared(self->vm, PAGE_GPA(3), PAGE_SIZE);
	vm_mem_set_private(self->vm, PAGE_GPA(3), PAGE_SIZE);
	EXPECT_EQ(ACCEPT_OK, accept_page(self->vcpu, PAGE_GPA(3), 1));
	EXPECT_EQ(0, private_word(self->vcpu, 3, 0));
}

/* One that is taken back before the VM is finalized needs no track. */
TEST_F(accept, initial_page_taken_back)
{
	struct provider_counts counts;

	EXPECT_EQ(0, private_pre_fault(self->vcpu, PAGE_GPA(3), PAGE_SIZE));
	vm_mem_set_shared(self->vm, PAGE_GPA(3), PAGE_SIZE);
	provider_read(self->vm, &counts);
	EXPECT_EQ(1, counts.remove);
	vm_mem_set_private(self->vm, PAGE_GPA(3), PAGE_SIZE);
	private_finalize(self->vm);
	EXPECT_EQ(ACCEPT_OK, accept_page(self->vcpu, PAGE_GPA(3), 1));
}

int main(int argc, char *argv[])
{
	private_require();
	return test_harness_run(argc, argv);
}
