/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Entry from a multiboot 1 or a PVH loader, both in 32-bit flat protected mode without a stack and
 * without interrupts; then our own GDT and stack, and main(). And the doors back: the interrupt
 * stubs, which return by popf and lret, since a software KVM has no protected-mode iret.
 */
        .set MB_MAGIC, 0x1badb002
        .set MB_FLAGS, 2                /* tell the memory's size */
        .set MB_LOADER, 0x2badb002
        .set XEN_ELFNOTE_PHYS32_ENTRY, 18

        .section .boot, "ax"
        .balign 4
        .long MB_MAGIC, MB_FLAGS, -(MB_MAGIC + MB_FLAGS)

        .globl multiboot_entry
multiboot_entry:
        cmp $MB_LOADER, %eax
        jne stop
        mov $1, %eax
        jmp start
pvh_entry:
        xor %eax, %eax
start:  mov $stack_top, %esp
        lgdt gdt_ptr
        ljmp $8, $1f
1:      mov $16, %ecx
        mov %ecx, %ds
        mov %ecx, %es
        mov %ecx, %fs
        mov %ecx, %gs
        mov %ecx, %ss
        push %ebx
        push %eax
        cld
        call guest_main                 /* (multiboot, info) */
stop:   cli
        hlt
        jmp stop

        .section .note.Xen, "a", @note
        .balign 4
        .long 4, 4, XEN_ELFNOTE_PHYS32_ENTRY
        .asciz "Xen"
        .long pvh_entry

        .text
        .macro isr name, handler
        .globl \name
\name:  pusha
        cld
        call \handler
        popa
        pushl 8(%esp)
        popf
        lret $4
        .endm

        isr isr_timer, on_timer
        isr isr_lsi, on_lsi
        isr isr_spurious, on_spurious
        isr isr_spurious_second, on_spurious_second

        /* Any exception. Some have an error code; what is shown is enough to see which. */
        .globl isr_fault
isr_fault:
        push 4(%esp)
        push 4(%esp)
        call on_fault
        jmp stop

        .data
        .balign 8
gdt:    .quad 0
        .quad 0x00cf9b000000ffff        /* 08 code */
        .quad 0x00cf93000000ffff        /* 10 data */
gdt_ptr: .word . - gdt - 1
        .long gdt

        .bss
        .balign 16
        .skip 16384
stack_top:
        .section .note.GNU-stack, "", @progbits
