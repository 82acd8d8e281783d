// SPDX-License-Identifier: GPL-2.0
/*
 * The entry formats: bits against the manuals (in raw hex, so that a wrong
 * constant is not compared with itself), round trips, and what is refused.
 */
#include <linux/bits.h>
#include <linux/errno.h>

#include "pgt/pgt.h"
#include "test.h"
#include "vm.h"

static u64 leaf(const struct pgt_format *fmt, u64 pfn, int level, u8 access,
		u8 memtype)
{
	struct pgt_attr attr = {
		.access = access,
		.memtype = memtype,
		.accessed = true,
	};

	return pgt_make_leaf(fmt, pfn, level, &attr);
}

HOST_TEST(format, ept_bits)
{
	struct pgt_host host = vm_configs[0].host;
	struct pgt_format fmt;

	HOST_EQ(pgt_format_ept(&fmt, &host), 0);
	/* Write-back, R, A; bit 11 is the engine's. */
	HOST_EQ(leaf(&fmt, 0x12345, 1, PGT_R, 6), 0x12345931);
	/* W: D, and both writable bits of the engine (55, 56). */
	HOST_EQ(leaf(&fmt, 0x12345, 1, PGT_R | PGT_W, 6),
		0x0180000012345b33);
	/* Uncacheable and ignore-PAT, huge, execute-only. */
	HOST_EQ(leaf(&fmt, 0x400, 2, PGT_X, 8), 0x4009c4);
	HOST_EQ(pgt_make_table(&fmt, 0x7000, 2), 0x7907);

	host.mbec = true;
	host.suppress_ve = true;
	HOST_EQ(pgt_format_ept(&fmt, &host), 0);
	HOST_EQ(leaf(&fmt, 1, 1, PGT_R | PGT_UX, 6), 0x8000000000001d31);
	HOST_EQ(pgt_make_table(&fmt, 0x7000, 3), 0x8000000000007d07);

	host.exec_only = false;
	HOST_EQ(pgt_format_ept(&fmt, &host), 0);
	HOST_EQ(leaf(&fmt, 1, 1, PGT_X, 6) & 7, 5);

	host.ad = false;
	HOST_EQ(pgt_format_ept(&fmt, &host), 0);
	HOST_EQ(pgt_make_table(&fmt, 0x7000, 2), 0x8000000000007c07);
	HOST_EQ(leaf(&fmt, 1, 1, PGT_R | PGT_W, 6) & 0x300, 0);
}

HOST_TEST(format, npt_bits)
{
	struct pgt_host host = vm_configs[1].host;
	struct pgt_format fmt;

	HOST_EQ(pgt_format_npt(&fmt, &host), 0);
	/* P, U, A, NX. */
	HOST_EQ(leaf(&fmt, 0x12345, 1, PGT_R | PGT_U, 0),
		0x8000000012345825);
	/* Writable, executable: D, and bits 9 and 10. */
	HOST_EQ(leaf(&fmt, 0x12345, 1, PGT_R | PGT_W | PGT_X | PGT_U, 0),
		0x12345e67);
	/* The PAT index 7: PWT, PCD, and PAT at bit 7 or, if huge, 12. */
	HOST_EQ(leaf(&fmt, 1, 1, PGT_R | PGT_X | PGT_U, 7), 0x18bd);
	HOST_EQ(leaf(&fmt, 0x200, 2, PGT_R | PGT_X | PGT_U, 7), 0x2018bd);
	HOST_EQ(leaf(&fmt, 0x200, 2, PGT_R | PGT_X | PGT_U, 3), 0x2008bd);
	HOST_EQ(pgt_make_table(&fmt, 0x7000, 4), 0x7827);

	host.me_value = BIT_ULL(47);
	host.me_mask = BIT_ULL(47);
	host.phys_bits = 48;
	HOST_EQ(pgt_format_npt(&fmt, &host), 0);
	HOST_EQ(pgt_make_table(&fmt, 0x7000, 4), 0x800000007827);
	HOST_EQ(pgt_table_pa(&fmt, 0x800000007827), 0x7000);

	host.nx = false;
	HOST_EQ(pgt_format_npt(&fmt, &host), 0);
	HOST_EQ(leaf(&fmt, 1, 1, PGT_R | PGT_U, 0), 0x1825);
}

HOST_TEST(format, pae_bits)
{
	struct pgt_format fmt;

	HOST_EQ(pgt_format_pae(&fmt, &vm_configs[7].host), 0);
	/* A PDPTE has neither rights nor an accessed bit. */
	HOST_EQ(pgt_make_table(&fmt, 0x7000, 3), 0x7801);
	HOST_EQ(pgt_make_table(&fmt, 0x7000, 2), 0x7827);
	HOST_EQ(fmt.max_leaf_level, 2);
	HOST_EQ(fmt.max_gfn, 0x100000);
}

/* Sizes: child and parent are inverse, and the PAT bit moves. */
HOST_TEST(format, sizes)
{
	for (unsigned int c = 0; c < vm_nr_configs; c++) {
		struct pgt_format fmt;
		u64 huge, small;

		HOST_EQ(vm_configs[c].init(&fmt, &vm_configs[c].host), 0);
		for (u8 memtype = 0; memtype < 8; memtype++) {
			u8 access = PGT_R | PGT_W | PGT_X | PGT_U;

			huge = leaf(&fmt, 0x40000, 2, access, memtype);
			small = leaf(&fmt, 0x40000 + 511, 1, access, memtype);
			HOST_EQ(pgt_leaf_child(&fmt, huge, 2, 511), small);
			HOST_EQ(pgt_leaf_parent(&fmt, small, 1), huge);
			HOST_EQ(pgt_leaf_pfn(&fmt, huge, 2), 0x40000);
			if (fmt.max_leaf_level < 3)
				continue;
			small = leaf(&fmt, 0x40000 + 0x3fe00, 2, access,
				     memtype);
			huge = leaf(&fmt, 0x40000, 3, access, memtype);
			HOST_EQ(pgt_leaf_child(&fmt, huge, 3, 511), small);
			HOST_EQ(pgt_leaf_parent(&fmt, small, 2), huge);
		}
	}
}

/* Nothing that an entry can be is taken for another thing. */
HOST_TEST(format, kinds)
{
	for (unsigned int c = 0; c < vm_nr_configs; c++) {
		struct pgt_format fmt;
		u64 mmio, tracked, used;

		HOST_EQ(vm_configs[c].init(&fmt, &vm_configs[c].host), 0);
		HOST_CHECK(pgt_is_empty(&fmt, fmt.nonpresent));
		HOST_CHECK(!pgt_is_mmio(&fmt, fmt.nonpresent));
		HOST_CHECK(!pgt_is_frozen(&fmt, fmt.nonpresent));
		HOST_CHECK(pgt_is_frozen(&fmt, fmt.frozen));
		HOST_CHECK(!pgt_is_mmio(&fmt, fmt.frozen));
		HOST_CHECK(!pgt_is_present(fmt.frozen));
		HOST_EQ(fmt.frozen & fmt.reach, 0);
		HOST_EQ(fmt.frozen & fmt.l1tf, fmt.l1tf);

		mmio = pgt_mmio_make(&fmt, 0x1234, 0x3ffff, 6);
		HOST_CHECK(pgt_is_mmio(&fmt, mmio));
		HOST_CHECK(!pgt_is_present(mmio));
		HOST_CHECK(!pgt_is_leaf(mmio, 1));

		used = leaf(&fmt, 0x1234, 1, PGT_R | PGT_X | PGT_U, 0);
		tracked = pgt_track(&fmt, used);
		HOST_CHECK(pgt_is_tracked(&fmt, tracked));
		HOST_CHECK(pgt_is_leaf(tracked, 1));
		HOST_EQ(pgt_rights(&fmt, tracked), 0);
		HOST_EQ(pgt_untrack(&fmt, tracked), used);
	}
}

HOST_TEST(format, mmio_round_trip)
{
	static const u64 gens[] = { 0, 1, 0x7f, 0x80, 0x15555, 0x3ffff };

	for (unsigned int c = 0; c < vm_nr_configs; c++) {
		struct pgt_format fmt;

		HOST_EQ(vm_configs[c].init(&fmt, &vm_configs[c].host), 0);
		for (u64 gfn = 1; gfn < fmt.mmio_gfn_max; gfn = gfn * 3 + 1) {
			for (unsigned int g = 0; g < 6; g++) {
				u64 e = pgt_mmio_make(&fmt, gfn, gens[g], 6);

				HOST_EQ(pgt_mmio_gfn(&fmt, e), gfn);
				HOST_EQ(pgt_mmio_gen(e), gens[g]);
				HOST_EQ(pgt_mmio_access(&fmt, e),
					6 & fmt.mmio_access);
				HOST_EQ(e & fmt.l1tf, fmt.l1tf);
				HOST_EQ(e & PGT_PRESENT, 0);
			}
		}
	}
}

HOST_TEST(format, refused)
{
	const struct pgt_host good = vm_configs[0].host;
	struct pgt_format fmt;
	struct pgt_host host;

#define REFUSED(change) do {						\
	host = good;							\
	host.change;							\
	HOST_EQ(pgt_format_ept(&fmt, &host), -EINVAL);			\
} while (0)
	REFUSED(phys_bits = 53);
	REFUSED(phys_bits = 20);
	REFUSED(me_value = BIT_ULL(40));
	REFUSED(me_mask = BIT_ULL(60));
	REFUSED(nonpresent = 1);
	REFUSED(mmio_value = 0xf);
	REFUSED(mmio_mask = BIT_ULL(52) | 7);
	REFUSED(mmio_access = BIT_ULL(0));
	REFUSED(l1tf_mask = BIT_ULL(40) | BIT_ULL(20));
	REFUSED(l1tf_mask = BIT_ULL(52));
	REFUSED(l1tf_mask = BIT_ULL(50));
	host = good;
	host.me_mask = BIT_ULL(40);
	host.l1tf_mask = BIT_ULL(40);
	HOST_EQ(pgt_format_ept(&fmt, &host), -EINVAL);
	REFUSED(mmio_mask = BIT_ULL(12) | 7);
	REFUSED(max_leaf_level = 0);
	REFUSED(max_leaf_level = 4);
	/* An empty or a frozen entry would look like MMIO. */
	host = good;
	host.mmio_mask = GENMASK_ULL(45, 41);
	host.mmio_value = GENMASK_ULL(45, 41);
	host.l1tf_mask = GENMASK_ULL(45, 41);
	HOST_EQ(pgt_format_ept(&fmt, &host), -EINVAL);
	host = good;
	host.mmio_value = BIT_ULL(63);
	host.mmio_mask = BIT_ULL(63);
	HOST_EQ(pgt_format_ept(&fmt, &host), -EINVAL);
	host = good;
	host.mmio_value = 0;
	host.mmio_mask = BIT_ULL(63) | 7;
	HOST_EQ(pgt_format_ept(&fmt, &host), 0);
	host.nonpresent = 0;
	HOST_EQ(pgt_format_ept(&fmt, &host), -EINVAL);
#undef REFUSED
}
