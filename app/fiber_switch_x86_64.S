/*
 * app/fiber_switch_x86_64.S - see fiber_context.h; System V ABI.
 *
 *     a stack that is not running          registers rbp, rbx, r12-r15 and the control
 *     sp -> | mxcsr | x87 cw |  8 bytes    words are the callee's to keep; all others
 *           | r15 ... r12    |             are dead across a call.
 *           | rbx, rbp       |
 *           | return address |
 */
    .text

    .globl mr_context_jump
    .hidden mr_context_jump
    .type mr_context_jump, @function
    .p2align 4
mr_context_jump: /* rdi: void **sp_out, rsi: void *sp */
    .cfi_startproc
    endbr64
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    subq $8, %rsp
    stmxcsr (%rsp)
    fnstcw 4(%rsp)
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    .cfi_def_cfa_offset 64
    .cfi_offset rbp, -16
    .cfi_offset rbx, -24
    .cfi_offset r12, -32
    .cfi_offset r13, -40
    .cfi_offset r14, -48
    .cfi_offset r15, -56
    ldmxcsr (%rsp)
    fldcw 4(%rsp)
    addq $8, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    .cfi_def_cfa_offset 8
    ret
    .cfi_endproc
    .size mr_context_jump, . - mr_context_jump

    .globl mr_context_first
    .hidden mr_context_first
    .type mr_context_first, @function
    .p2align 4
mr_context_first: /* the first return address of a stack; r12: function, r13: its argument */
    .cfi_startproc
    .cfi_undefined rip
    endbr64
    movq %r13, %rdi
    xorl %ebp, %ebp
    call *%r12
    ud2
    .cfi_endproc
    .size mr_context_first, . - mr_context_first

    /* Lay out a stack that starts function(argument): rdi: top (16-byte aligned), rsi: function,
     * rdx: argument.  rax: its sp. */
    .globl mr_context_layout
    .hidden mr_context_layout
    .type mr_context_layout, @function
    .p2align 4
mr_context_layout:
    .cfi_startproc
    endbr64
    leaq -80(%rdi), %rax
    stmxcsr (%rax)
    fnstcw 4(%rax)
    movq $0, 8(%rax)     /* r15 */
    movq $0, 16(%rax)    /* r14 */
    movq %rdx, 24(%rax)  /* r13 */
    movq %rsi, 32(%rax)  /* r12 */
    movq $0, 40(%rax)    /* rbx */
    movq $0, 48(%rax)    /* rbp */
    leaq mr_context_first(%rip), %rcx
    movq %rcx, 56(%rax)
    movq $0, 64(%rax)    /* where unwinding ends */
    ret
    .cfi_endproc
    .size mr_context_layout, . - mr_context_layout

    .section .note.GNU-stack, "", @progbits
