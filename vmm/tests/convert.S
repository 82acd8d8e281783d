/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A guest, not Linux, whose memory is private: it has a page made shared and
 * private again, by hypercall and by using it, and looks whether it still holds
 * what was written.  It ends by port 0xf4: 60, or a number that says what was
 * wrong.
 *
 * It starts as kernels do: 64-bit, the first 4G at their own addresses, and
 * from there it makes a second view of them, at 512G, with the shared bit.
 */
#define PORT_EXIT	0xf4
#define MAP_GPA_RANGE	12
#define ENCRYPTED	0x10
#define EINVAL		-22

#define PAGE_TABLES	0x3000		/* vmm/layout.h */
#define OWN_PDPT	0x10000
#define OWN_DIRECTORY	0x11000
#define STACK		0x18000

#define PAGE		0x200000	/* what is converted */
#define NEXT_PAGE	(PAGE + 0x1000)
#define NO_MEMORY	0xd0000000
#define SHARED_VIEW	0x8000000000

	.code64
	.globl _start
_start:
	mov	$STACK, %esp

	/* The shared bit is the highest of an address. */
	mov	$0x80000008, %eax
	cpuid
	movzbl	%al, %ecx
	dec	%ecx
	mov	$1, %r15d
	shl	%cl, %r15

	/* Which instruction is a hypercall depends on the maker. */
	xor	%eax, %eax
	cpuid
	xor	%r14d, %r14d
	cmp	$0x756e6547, %ebx	/* "Genu" */
	sete	%r14b

	/* One directory, 1G in pages of 2M, seen with the shared bit. */
	movq	$(OWN_PDPT + 3), PAGE_TABLES + 8
	movq	$(OWN_DIRECTORY + 3), OWN_PDPT
	mov	$OWN_DIRECTORY, %edi
	lea	0x83(%r15), %rax
	mov	$512, %ecx
1:	mov	%rax, (%rdi)
	add	$8, %rdi
	add	$0x200000, %rax
	loop	1b
	mov	%cr3, %rax
	mov	%rax, %cr3

	mov	$SHARED_VIEW, %rbp

	/* 1, 2: a page keeps what it holds when it gets shared. */
	mov	$1, %r13d
	movq	$0x1111, PAGE
	mov	$PAGE, %ebx
	mov	$1, %ecx
	xor	%edx, %edx
	call	map_range
	test	%rax, %rax
	jnz	leave
	inc	%r13d
	cmpq	$0x1111, PAGE(%rbp)
	jne	leave

	/* 3, 4: and private again. */
	inc	%r13d
	movq	$0x2222, PAGE(%rbp)
	mov	$ENCRYPTED, %edx
	call	map_range
	test	%rax, %rax
	jnz	leave
	inc	%r13d
	cmpq	$0x2222, PAGE
	jne	leave

	/* 5: used as shared it gets shared. */
	inc	%r13d
	cmpq	$0x2222, PAGE(%rbp)
	jne	leave
	movq	$0x3333, PAGE(%rbp)

	/* 6: used as private it gets private. */
	inc	%r13d
	cmpq	$0x3333, PAGE
	jne	leave

	/* 7, 8: many at once, 3M from the middle of 2M. */
	inc	%r13d
	movq	$0x4444, NEXT_PAGE + 0x200000
	mov	$NEXT_PAGE, %ebx
	mov	$768, %ecx
	xor	%edx, %edx
	call	map_range
	test	%rax, %rax
	jnz	leave
	inc	%r13d
	cmpq	$0x4444, NEXT_PAGE + 0x200000(%rbp)
	jne	leave

	/* 9: where no memory is, there is nothing to convert. */
	inc	%r13d
	mov	$NO_MEMORY, %ebx
	mov	$1, %ecx
	call	map_range
	cmp	$EINVAL, %rax
	jne	leave

	/* 10: nor beyond its end. */
	inc	%r13d
	mov	$PAGE, %ebx
	mov	$0x1000000, %ecx
	call	map_range
	cmp	$EINVAL, %rax
	jne	leave

	/* 11, 12: nothing answers there, privately or not. */
	inc	%r13d
	mov	$NO_MEMORY, %ebx
	cmpl	$-1, (%rbx)
	jne	leave
	inc	%r13d
	mov	$NO_MEMORY, %ebx
	lea	0x83(%r15), %rax
	add	%rbx, %rax
	mov	%rax, OWN_DIRECTORY
	mov	%cr3, %rax
	mov	%rax, %cr3
	cmpl	$-1, (%rbp)
	jne	leave

	mov	$60, %r13d
leave:
	mov	%r13d, %eax
	out	%al, $PORT_EXIT
1:	hlt
	jmp	1b

/* rbx: address, rcx: pages, rdx: attributes; rax: result.  Keeps the others. */
map_range:
	mov	$MAP_GPA_RANGE, %eax
	test	%r14d, %r14d
	jnz	1f
	vmmcall
	ret
1:	vmcall
	ret
