// SPDX-License-Identifier: GPL-2.0
/*
 * mmu-of-new-vm MMU: is a VM that nobody has chosen an MMU for on this one, kvm or
 * altmmu?  A VM that is on altmmu has a folder of it in debugfs.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define VM_FOLDER	"/sys/kernel/debug/kvm/%d-%d%s"

static int has_folder(int vm, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), VM_FOLDER, getpid(), vm, name);
	return !access(path, F_OK);
}

int main(int argc, char *argv[])
{
	const char *mmu;
	int kvm, vm;

	if (argc != 2) {
		printf("usage: mmu-of-new-vm MMU\n");
		return 2;
	}
	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	vm = kvm < 0 ? -1 : ioctl(kvm, KVM_CREATE_VM, 0);
	if (vm < 0) {
		printf("there is no VM to be had: %s\n", strerror(errno));
		return 1;
	}
	if (!has_folder(vm, "")) {
		printf("the VM is not in debugfs\n");
		return 1;
	}
	mmu = has_folder(vm, "/altmmu") ? "altmmu" : "kvm";
	printf("a new VM is on %s\n", mmu);
	return strcmp(mmu, argv[1]) ? 1 : 0;
}
