// SPDX-License-Identifier: GPL-2.0
/*
 * How long it takes to make private memory shared, and private again, while vCPUs
 * run: a benchmark, which asserts nothing but that it works.
 *
 * What takes time is to get vCPUs out of the guest, so these do nothing but be
 * there.  Mapping memory is left out.
 */
#include <getopt.h>
#include <pthread.h>
#include <time.h>

#include "altmmu_private.h"

#define MAX_VCPUS	8

static u64 guest_stop;
static u64 guest_rounds[MAX_VCPUS];

static void guest_spin(u32 vcpu_id)
{
	while (!READ_ONCE(guest_stop))
		WRITE_ONCE(guest_rounds[vcpu_id], guest_rounds[vcpu_id] + 1);
	GUEST_DONE();
}

static void start(struct kvm_vm *vm, struct vcpu_thread *threads,
		  struct kvm_vcpu *vcpus[], u32 nr_vcpus)
{
	vcpu_threads_start(threads, vcpus, nr_vcpus);
	for (u32 i = 0; i < nr_vcpus; i++)
		while (!READ_ONCE(*(u64 *)host_pointer(vm, &guest_rounds[i])))
			usleep(100);
}

static void stop(struct kvm_vm *vm, struct vcpu_thread *threads, u32 nr_vcpus)
{
	WRITE_ONCE(*(u64 *)host_pointer(vm, &guest_stop), 1);
	for (u32 i = 0; i < nr_vcpus; i++)
		kvm_pthread_join(threads[i].thread, NULL);
}

/* Convert memory that is mapped, and print how long it took. */
static void convert(struct kvm_vcpu *idle, u64 size, int iteration, bool shared)
{
	struct timespec before, took;

	TEST_ASSERT(!private_pre_fault(idle, TEST_GPA, size),
		    "pre-faulting: errno %d", errno);
	clock_gettime(CLOCK_MONOTONIC, &before);
	vm_set_memory_attributes(idle->vm, TEST_GPA, size,
				 shared ? 0 : KVM_MEMORY_ATTRIBUTE_PRIVATE);
	took = timespec_elapsed(before);
	pr_info("Iteration %d to %s time: %ld.%.9lds\n", iteration,
		shared ? "shared" : "private", took.tv_sec, took.tv_nsec);
}

static void usage(const char *name)
{
	printf("%s [-v vcpus] [-b size] [-i iterations]\n\n"
	       " -v: vCPUs that run meanwhile, at most %d (default: 1)\n"
	       " -b: memory to convert, with K, M or G (default: 64M)\n"
	       " -i: how often (default: 2)\n", name, MAX_VCPUS);
}

int main(int argc, char *argv[])
{
	struct kvm_vcpu *vcpus[MAX_VCPUS + 1];
	struct vcpu_thread threads[MAX_VCPUS];
	int nr_vcpus = 1, iterations = 2, option;
	u64 size = SZ_64M;
	struct kvm_vm *vm;

	while ((option = getopt(argc, argv, "hv:b:i:")) != -1) {
		switch (option) {
		case 'v':
			nr_vcpus = atoi_positive("vCPUs", optarg);
			TEST_ASSERT(nr_vcpus <= MAX_VCPUS, "at most %d vCPUs",
				    MAX_VCPUS);
			break;
		case 'b':
			size = parse_size(optarg);
			TEST_ASSERT(size && !(size % SZ_2M),
				    "the size is not a multiple of 2M");
			break;
		case 'i':
			iterations = atoi_positive("iterations", optarg);
			break;
		case 'h':
			usage(argv[0]);
			return 0;
		default:
			usage(argv[0]);
			return 1;
		}
	}

	private_require();
	vm = private_create_vm(0, KVM_X86_SOFT_MIRROR_AUTO_ACCEPT);
	private_boot_vm(vm, nr_vcpus + 1, guest_spin, vcpus);
	private_add_memory(vm, TEST_GPA, TEST_SLOT, size);
	vm_mem_set_private(vm, TEST_GPA, size);

	start(vm, threads, vcpus, nr_vcpus);
	for (int i = 1; i <= iterations; i++) {
		convert(vcpus[nr_vcpus], size, i, true);
		convert(vcpus[nr_vcpus], size, i, false);
	}
	stop(vm, threads, nr_vcpus);
	kvm_vm_free(vm);
	return 0;
}
