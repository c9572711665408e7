/*
 * app/fiber_switch_aarch64.S - see fiber_context.h; AAPCS64.
 *
 *     a stack that is not running
 *     sp -> | x19 ... x28      |  80 bytes
 *           | x29, x30         |  frame pointer, return address
 *           | d8 ... d15       |  64 bytes
 *           | fpcr, unused     |
 */
    .text

    .globl mr_context_jump
    .hidden mr_context_jump
    .type mr_context_jump, %function
    .p2align 4
mr_context_jump: /* x0: void **sp_out, x1: void *sp */
    .cfi_startproc
    hint #34 /* bti c */
    sub sp, sp, #176
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mrs x9, fpcr
    str x9, [sp, #160]
    mov x10, sp
    str x10, [x0]
    mov sp, x1
    .cfi_def_cfa_offset 176
    .cfi_offset x29, -96
    .cfi_offset x30, -88
    ldr x9, [sp, #160]
    msr fpcr, x9
    ldp d14, d15, [sp, #144]
    ldp d12, d13, [sp, #128]
    ldp d10, d11, [sp, #112]
    ldp d8, d9, [sp, #96]
    ldp x29, x30, [sp, #80]
    ldp x27, x28, [sp, #64]
    ldp x25, x26, [sp, #48]
    ldp x23, x24, [sp, #32]
    ldp x21, x22, [sp, #16]
    ldp x19, x20, [sp, #0]
    add sp, sp, #176
    .cfi_def_cfa_offset 0
    ret
    .cfi_endproc
    .size mr_context_jump, . - mr_context_jump

    .globl mr_context_first
    .hidden mr_context_first
    .type mr_context_first, %function
    .p2align 4
mr_context_first: /* the first return address of a stack; x19: function, x20: its argument */
    .cfi_startproc
    .cfi_undefined x30
    hint #36 /* bti j */
    mov x0, x20
    mov x29, xzr
    mov x30, xzr
    blr x19
    brk #1
    .cfi_endproc
    .size mr_context_first, . - mr_context_first

    /* Lay out a stack that starts function(argument): x0: top (16-byte aligned), x1: function,
     * x2: argument.  x0: its sp. */
    .globl mr_context_layout
    .hidden mr_context_layout
    .type mr_context_layout, %function
    .p2align 4
mr_context_layout:
    .cfi_startproc
    hint #34 /* bti c */
    sub x0, x0, #176
    stp x1, x2, [x0, #0]
    stp xzr, xzr, [x0, #16]
    stp xzr, xzr, [x0, #32]
    stp xzr, xzr, [x0, #48]
    stp xzr, xzr, [x0, #64]
    adrp x9, mr_context_first
    add x9, x9, :lo12:mr_context_first
    stp xzr, x9, [x0, #80]
    stp xzr, xzr, [x0, #96]
    stp xzr, xzr, [x0, #112]
    stp xzr, xzr, [x0, #128]
    stp xzr, xzr, [x0, #144]
    mrs x9, fpcr
    str x9, [x0, #160]
    ret
    .cfi_endproc
    .size mr_context_layout, . - mr_context_layout

    .section .note.GNU-stack, "", %progbits
