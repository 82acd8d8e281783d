/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Trace events of altmmu.
 */
#if !defined(ALTMMU_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define ALTMMU_TRACE_H

#include <linux/tracepoint.h>

#undef TRACE_SYSTEM
#define TRACE_SYSTEM altmmu

struct kvm;
struct pgt_map;

/* @result is a PGT_* result or a negative errno. */
TRACE_EVENT(altmmu_fix,
	TP_PROTO(int vcpu, u64 gfn, u64 error_code, int result),
	TP_ARGS(vcpu, gfn, error_code, result),

	TP_STRUCT__entry(
		__field(int, vcpu)
		__field(int, result)
		__field(u64, gfn)
		__field(u64, error_code)
	),

	TP_fast_assign(
		__entry->vcpu = vcpu;
		__entry->result = result;
		__entry->gfn = gfn;
		__entry->error_code = error_code;
	),

	TP_printk("vcpu %d gfn 0x%llx error 0x%llx: %d", __entry->vcpu,
		  __entry->gfn, __entry->error_code, __entry->result)
);

TRACE_EVENT(altmmu_map,
	TP_PROTO(int vcpu, const struct pgt_map *map, u64 error_code,
		 int result),
	TP_ARGS(vcpu, map, error_code, result),

	TP_STRUCT__entry(
		__field(int, vcpu)
		__field(int, result)
		__field(u64, gfn)
		__field(u64, pfn)
		__field(u64, error_code)
		__field(u8, level)
		__field(u8, access)
	),

	TP_fast_assign(
		__entry->vcpu = vcpu;
		__entry->result = result;
		__entry->gfn = map->gfn;
		__entry->pfn = map->pfn;
		__entry->error_code = error_code;
		__entry->level = map->level;
		__entry->access = map->access;
	),

	TP_printk("vcpu %d gfn 0x%llx pfn 0x%llx level %u access 0x%x error 0x%llx: %d",
		  __entry->vcpu, __entry->gfn, __entry->pfn, __entry->level,
		  __entry->access, __entry->error_code, __entry->result)
);

/* @result is what mirror_map() returned. */
TRACE_EVENT(altmmu_map_private,
	TP_PROTO(int vcpu, u64 gfn, int level, unsigned int window,
		 u64 error_code, int result),
	TP_ARGS(vcpu, gfn, level, window, error_code, result),

	TP_STRUCT__entry(
		__field(int, vcpu)
		__field(int, level)
		__field(int, result)
		__field(unsigned int, window)
		__field(u64, gfn)
		__field(u64, error_code)
	),

	TP_fast_assign(
		__entry->vcpu = vcpu;
		__entry->level = level;
		__entry->result = result;
		__entry->window = window;
		__entry->gfn = gfn;
		__entry->error_code = error_code;
	),

	TP_printk("vcpu %d gfn 0x%llx level %d window %u error 0x%llx: %d",
		  __entry->vcpu, __entry->gfn, __entry->level, __entry->window,
		  __entry->error_code, __entry->result)
);

/* A call of a mirror's provider; @result is what came of it. */
TRACE_EVENT(mirror_call,
	TP_PROTO(const struct kvm *kvm, const char *call, u64 gfn, int level,
		 int result),
	TP_ARGS(kvm, call, gfn, level, result),

	TP_STRUCT__entry(
		__field(const void *, kvm)
		__field(u64, gfn)
		__field(int, level)
		__field(int, result)
		__string(call, call)
	),

	TP_fast_assign(
		__entry->kvm = kvm;
		__entry->gfn = gfn;
		__entry->level = level;
		__entry->result = result;
		__assign_str(call);
	),

	TP_printk("kvm %p %s gfn 0x%llx level %d: %d", __entry->kvm,
		  __get_str(call), __entry->gfn, __entry->level,
		  __entry->result)
);

DECLARE_EVENT_CLASS(altmmu_range,
	TP_PROTO(const struct kvm *kvm, u64 start, u64 end),
	TP_ARGS(kvm, start, end),

	TP_STRUCT__entry(
		__field(const void *, kvm)
		__field(u64, start)
		__field(u64, end)
	),

	TP_fast_assign(
		__entry->kvm = kvm;
		__entry->start = start;
		__entry->end = end;
	),

	TP_printk("kvm %p gfn 0x%llx to 0x%llx", __entry->kvm, __entry->start,
		  __entry->end)
);

DEFINE_EVENT(altmmu_range, altmmu_unmap,
	TP_PROTO(const struct kvm *kvm, u64 start, u64 end),
	TP_ARGS(kvm, start, end));

DEFINE_EVENT(altmmu_range, altmmu_flush,
	TP_PROTO(const struct kvm *kvm, u64 start, u64 end),
	TP_ARGS(kvm, start, end));

TRACE_EVENT(altmmu_obsolete,
	TP_PROTO(const struct kvm *kvm),
	TP_ARGS(kvm),

	TP_STRUCT__entry(
		__field(const void *, kvm)
	),

	TP_fast_assign(
		__entry->kvm = kvm;
	),

	TP_printk("kvm %p", __entry->kvm)
);

/* An entry, as values of the VM's format, or of the mirror's. */
TRACE_EVENT(altmmu_change,
	TP_PROTO(u64 gfn, int level, u64 old, u64 new),
	TP_ARGS(gfn, level, old, new),

	TP_STRUCT__entry(
		__field(u64, gfn)
		__field(u64, old)
		__field(u64, new)
		__field(int, level)
	),

	TP_fast_assign(
		__entry->gfn = gfn;
		__entry->old = old;
		__entry->new = new;
		__entry->level = level;
	),

	TP_printk("gfn 0x%llx level %d 0x%llx to 0x%llx", __entry->gfn,
		  __entry->level, __entry->old, __entry->new)
);

#endif /* ALTMMU_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH altmmu
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace

#include <trace/define_trace.h>
