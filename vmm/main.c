// SPDX-License-Identifier: GPL-2.0
/*
 * Options, and the order in which a VM comes and goes.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm.h"

#define VERSION "0.1"

const char * const backing_names[] = {
	[BACKING_ANON] = "anon",
	[BACKING_THP] = "thp",
	[BACKING_HUGETLB] = "hugetlb",
	[BACKING_MEMFD] = "memfd",
	[BACKING_GUEST_MEMFD] = "guest_memfd",
};

const char * const mmu_names[] = {
	[KVM_X86_MMU_KVM] = "kvm",
	[KVM_X86_MMU_ALTMMU] = "altmmu",
};

static const char * const stats_names[] = {
	[STATS_TABLE] = "table",
	[STATS_RAW] = "raw",
};

static const char usage[] =
"usage: vmm run --kernel BZIMAGE [OPTION]...\n"
"       vmm --help | --version\n"
"\n"
"Boot a Linux kernel on KVM, with its serial console on the terminal.\n"
"Ctrl-A x quits, Ctrl-A a sends a Ctrl-A.\n"
"\n"
"  --kernel FILE     the kernel, a 64-bit bzImage\n"
"  --initrd FILE     its initramfs\n"
"  --append STRING   its command line (console=ttyS0)\n"
"  --memory SIZE     with K, M or G; whole MiB (512M)\n"
"  --cpus N          vCPUs (1)\n"
"  --backing KIND    memory from anon, thp, hugetlb or memfd (anon)\n"
"  --private         all memory private, in a VM for development (altmmu)\n"
"  --mmu MMU         kvm or altmmu; without it, what the host gives\n"
"  --stats[=FORMAT]  what the MMU did, when the guest has ended, on stderr:\n"
"                    table (the default) or raw\n"
"  --device FILE     the KVM device (/dev/kvm)\n"
"\n"
"Exit status: what the guest writes to I/O port 0xf4; 0 when it powers off,\n"
"1 on any error here, 120 when it crashes, 121 when it asks for a reboot,\n"
"122 after Ctrl-A x, 123 when it uses private or shared memory wrongly.\n";

static void print(const char *text)
{
	if (fputs(text, stdout) < 0 || fflush(stdout))
		die_errno("writing to stdout");
}

static int choose(const char *option, const char *value,
		  const char * const *names, int count)
{
	char list[80] = "";
	int i;

	for (i = 0; i < count; i++) {
		if (!names[i])
			continue;
		if (!strcmp(value, names[i]))
			return i;
		if (*list)
			strcat(list, ", ");
		strcat(list, names[i]);
	}
	die("%s is one of %s, not '%s'", option, list, value);
}

/* An unsigned number, and what follows it; false if there is none. */
static bool parse_number(const char *text, u64 *number, const char **rest)
{
	char *end;

	/* strtoull() would take a sign and blanks. */
	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*number = strtoull(text, &end, 10);
	*rest = end;
	return !errno;
}

static u64 parse_memory(const char *text)
{
	static const char units[] = "KMG";
	const char *rest, *unit;
	u64 size, scale = 1;
	bool good;

	good = parse_number(text, &size, &rest);
	if (good && *rest) {
		unit = strchr(units, *rest);
		if (unit && !rest[1])
			scale = KIB << 10 * (unit - units);
		else
			good = false;
	}
	if (!good)
		die("--memory is a size such as 512M or 4G, not '%s'", text);
	if (size > UINT64_MAX / scale || size * scale > 1024 * 1024 * GIB)
		die("--memory %s is too much", text);
	size *= scale;
	if (size % MIB)
		die("--memory %s is not a multiple of 1M", text);
	if (size < 16 * MIB)
		die("--memory %s is too little, 16M is the least", text);
	return size;
}

static int parse_cpus(const char *text)
{
	const char *rest;
	u64 cpus;

	/* One byte has to hold an APIC ID, and 255 means all. */
	if (!parse_number(text, &cpus, &rest) || *rest || !cpus || cpus > 254)
		die("--cpus is a number from 1 to 254, not '%s'", text);
	return cpus;
}

/* Private memory is of one kind, and only altmmu has it. */
static void check_private(struct options *options)
{
	bool given = options->backing != BACKING_DEFAULT;

	if (!options->private) {
		if (!given)
			options->backing = BACKING_ANON;
		if (options->backing == BACKING_GUEST_MEMFD)
			die("--backing guest_memfd is for --private");
		return;
	}
	if (given && options->backing != BACKING_GUEST_MEMFD)
		die("--private has its memory from a guest_memfd, not from --backing %s",
		    backing_names[options->backing]);
	if (options->mmu == KVM_X86_MMU_KVM)
		die("--private takes altmmu, not --mmu kvm");
	options->backing = BACKING_GUEST_MEMFD;
}

enum {
	OPTION_KERNEL = 0x100,	/* no letter */
	OPTION_INITRD,
	OPTION_APPEND,
	OPTION_MEMORY,
	OPTION_CPUS,
	OPTION_BACKING,
	OPTION_PRIVATE,
	OPTION_MMU,
	OPTION_STATS,
	OPTION_DEVICE,
	OPTION_HELP,
};

static void parse_options(struct options *options, int argc, char **argv)
{
	static const struct option known[] = {
		{ "kernel", required_argument, NULL, OPTION_KERNEL },
		{ "initrd", required_argument, NULL, OPTION_INITRD },
		{ "append", required_argument, NULL, OPTION_APPEND },
		{ "memory", required_argument, NULL, OPTION_MEMORY },
		{ "cpus", required_argument, NULL, OPTION_CPUS },
		{ "backing", required_argument, NULL, OPTION_BACKING },
		{ "private", no_argument, NULL, OPTION_PRIVATE },
		{ "mmu", required_argument, NULL, OPTION_MMU },
		{ "stats", optional_argument, NULL, OPTION_STATS },
		{ "device", required_argument, NULL, OPTION_DEVICE },
		{ "help", no_argument, NULL, OPTION_HELP },
		{ }
	};
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, "+:", known, NULL)) != -1) {
		switch (option) {
		case OPTION_KERNEL:
			options->kernel = optarg;
			break;
		case OPTION_INITRD:
			options->initrd = optarg;
			break;
		case OPTION_APPEND:
			options->append = optarg;
			break;
		case OPTION_MEMORY:
			options->memory = parse_memory(optarg);
			break;
		case OPTION_CPUS:
			options->cpus = parse_cpus(optarg);
			break;
		case OPTION_BACKING:
			options->backing = choose("--backing", optarg,
						  backing_names, NR_BACKINGS);
			break;
		case OPTION_PRIVATE:
			options->private = true;
			break;
		case OPTION_MMU:
			options->mmu = choose("--mmu", optarg, mmu_names, 2);
			break;
		case OPTION_STATS:
			options->stats = STATS_TABLE;
			if (optarg)
				options->stats = choose("--stats", optarg,
							stats_names, 3);
			break;
		case OPTION_DEVICE:
			options->device = optarg;
			break;
		case OPTION_HELP:
			print(usage);
			exit(0);
		case ':':
			die("%s needs a value (see 'vmm --help')",
			    argv[optind - 1]);
		default:
			/* Those of one letter are all bad. */
			if (optopt && optopt < OPTION_KERNEL)
				die("bad option '-%c' (see 'vmm --help')",
				    optopt);
			die("bad option '%s' (see 'vmm --help')",
			    argv[optind - 1]);
		}
	}
	if (optind < argc)
		die("what is '%s'? (see 'vmm --help')", argv[optind]);
	if (!options->kernel)
		die("--kernel is missing (see 'vmm --help')");
	check_private(options);
}

static int run(const struct options *options)
{
	struct image kernel, initrd;
	struct vm vm = { };

	boot_read(options, &kernel, &initrd);
	vm_create(&vm, options);
	vcpus_create(&vm);
	acpi_build(&vm);
	boot_load(&vm, &kernel, &initrd);
	if (options->stats != STATS_NONE)
		stats_open(&vm);

	console_start();
	vcpus_start(&vm);
	console_run(&vm);
	vcpus_stop(&vm);
	console_restore();

	if (options->stats != STATS_NONE) {
		stats_take(&vm, &vm.at_end);
		stats_print(&vm);
	}
	if (vm.ending.crash[0])
		print_crash(&vm.ending);
	if (vm.ending.signal) {
		sigset_t set;

		/* Whoever waits for us is to see what ended us. */
		signal(vm.ending.signal, SIG_DFL);
		sigemptyset(&set);
		sigaddset(&set, vm.ending.signal);
		raise(vm.ending.signal);
		sigprocmask(SIG_UNBLOCK, &set, NULL);
	}
	return vm.ending.status;
}

int main(int argc, char **argv)
{
	struct options options = {
		.device = "/dev/kvm",
		.append = "console=ttyS0",
		.memory = 512 * MIB,
		.cpus = 1,
		.backing = BACKING_DEFAULT,
		.mmu = MMU_DEFAULT,
		.stats = STATS_NONE,
	};

	if (argc < 2)
		die("nothing to do (see 'vmm --help')");
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		print(usage);
		return 0;
	}
	if (!strcmp(argv[1], "--version")) {
		print("vmm " VERSION "\n");
		return 0;
	}
	if (strcmp(argv[1], "run"))
		die("unknown command '%s' (see 'vmm --help')", argv[1]);
	parse_options(&options, argc - 1, argv + 1);
	return run(&options);
}
