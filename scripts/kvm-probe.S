/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest of 1 KiB that does what every 64-bit kernel does in its first milliseconds: protected
 * mode, iret, page tables, long mode, an IDT, a timer interrupt out of hlt, a step into ring 3 and
 * syscall back. It then writes 0x21 to the isa-debug-exit port, so QEMU's exit status is 0x43; any
 * other end means that the accelerator can't run Linux. Some hosts have a /dev/kvm that runs
 * firmware but stops at the first iret, so only a run tells.
 *
 * mpqemu_launcher/probe.py carries the assembled bytes; tests/interop holds that they match:
 *     as kvm-probe.S -o probe.o && ld -Ttext=0xfffffc00 --oformat=binary -e 0 probe.o
 * It is the last 1 KiB of a ROM at the top of 4 GiB. Memory: 0x1000..0x3fff page tables, 0x4000
 * IDT, 0x5000 TSS, 0x5800 GDT, below 0x8000 the stack. Port 0x80 shows the step reached, for who wants to trace it.
 */
        .set ROM, 0xfffffc00
        .set PML4, 0x1000
        .set PDPT, 0x2000
        .set PD_LOW, 0x3000
        .set PD_HIGH, 0x6000
        .set IDT, 0x4000
        .set TSS, 0x5000
        .set GDT, 0x5800
        .set STACK, 0x8000

        .text
        .code32
start32:
        mov $0x10, %ax
        mov %ax, %ds
        mov %ax, %es
        mov %ax, %ss
        mov $STACK, %esp

        /* Step 1: iret in protected mode. */
        mov $1, %al
        out %al, $0x80
        pushf
        push %cs
        push $1f
        iret
1:
        /* The local APIC on, the PIC passed through its LINT0: what firmware leaves behind. */
        movl $0x1ff, 0xfee000f0
        movl $0x700, 0xfee00350

        /* Step 2: page tables (2 MiB pages: the first two MiB and the ROM), long mode. */
        mov $2, %al
        out %al, $0x80
        xor %eax, %eax
        mov $PML4, %edi
        mov $(STACK - PML4) / 4, %ecx
        cld
        rep stosl
        movl $PDPT + 7, PML4
        movl $PD_LOW + 7, PDPT
        movl $PD_HIGH + 7, PDPT + 3 * 8
        movl $0x87, PD_LOW
        movl $0xffe00087, PD_HIGH + 511 * 8
        mov %cr4, %eax
        or $0x20, %eax                  /* PAE */
        mov %eax, %cr4
        mov $PML4, %eax
        mov %eax, %cr3
        mov $0xc0000080, %ecx
        rdmsr
        or $0x101, %eax                 /* EFER.LME, SCE */
        wrmsr
        mov %cr0, %eax
        or $0x80000000, %eax
        mov %eax, %cr0
        ljmp $0x18, $start64

        .code64
start64:
        mov $3, %al
        out %al, $0x80
        mov $STACK, %esp
        /* IDT entry 0x20 = timer; the TSS gives ring 3 a way back. */
        mov $timer, %eax
        mov $IDT + 0x20 * 16, %edi
        mov %ax, (%rdi)
        movw $0x18, 2(%rdi)
        movw $0x8e00, 4(%rdi)
        shr $16, %eax
        mov %ax, 6(%rdi)
        movl $STACK - 256, TSS + 4
        /* ltr marks its descriptor busy, so the GDT has to be in RAM from here on. */
        mov $gdt, %esi
        mov $GDT, %edi
        mov $gdt_end - gdt, %ecx
        rep movsb
        lgdt gdt_ram_ptr(%rip)
        lidt idt_ptr(%rip)
        mov $gdt_tss - gdt, %eax
        ltr %ax
        /* PIC: vectors from 0x20, only IRQ 0 open. PIT: channel 0, rate about 1 kHz. */
        mov $0x11, %al
        out %al, $0x20
        mov $0x20, %al
        out %al, $0x21
        mov $4, %al
        out %al, $0x21
        mov $1, %al
        out %al, $0x21
        mov $0xfe, %al
        out %al, $0x21
        mov $0x34, %al
        out %al, $0x43
        mov $0xa9, %al
        out %al, $0x40
        mov $4, %al
        out %al, $0x40
        xor %ebx, %ebx
        /* Step 4: ten timer interrupts, each waited for in hlt. */
        mov $4, %al
        out %al, $0x80
1:      sti
        hlt
        cmp $10, %ebx
        jb 1b
        cli

        /* Step 5: ring 3 by iretq, back by syscall. */
        mov $5, %al
        out %al, $0x80
        mov $0xc0000081, %ecx           /* STAR: kernel 0x18/0x20, user from 0x23 */
        xor %eax, %eax
        mov $0x00230018, %edx
        wrmsr
        mov $0xc0000082, %ecx           /* LSTAR */
        mov $back, %eax
        xor %edx, %edx
        wrmsr
        mov $0xc0000084, %ecx           /* FMASK: clear IF */
        mov $0x200, %eax
        xor %edx, %edx
        wrmsr
        pushq $0x2b
        pushq $STACK - 512
        pushq $0x2
        pushq $0x33
        mov $user, %eax
        push %rax
        iretq
user:
        xor %ecx, %ecx
        syscall
back:
        mov $6, %al
        out %al, $0x80
        mov $0x21, %al
        out %al, $0xf4
1:      hlt
        jmp 1b

timer:
        push %rax
        inc %ebx
        mov $0x20, %al
        out %al, $0x20
        pop %rax
        iretq

        .balign 8
gdt:    .quad 0
        .quad 0x00cf9b000000ffff        /* 08 code, 32 bits */
        .quad 0x00cf93000000ffff        /* 10 data */
        .quad 0x00af9b000000ffff        /* 18 code, 64 bits */
        .quad 0x00cf93000000ffff        /* 20 data */
        .quad 0x00cff3000000ffff        /* 28 user data */
        .quad 0x00affb000000ffff        /* 30 user code, 64 bits */
gdt_tss: .quad 0x0000890050000067       /* 38 TSS at 0x5000 */
        .quad 0
gdt_end:
gdt_ptr: .word gdt_end - gdt - 1
        .long gdt
gdt_ram_ptr: .word gdt_end - gdt - 1
        .quad GDT
idt_ptr: .word 0xfff
        .quad IDT

        .code16
start16:
        cli
        lgdtl %cs:(gdt_ptr - ROM + 0xfc00)
        mov %cr0, %eax
        or $1, %al
        mov %eax, %cr0
        ljmpl $0x08, $start32

        .org 0x3f0
reset:  jmp start16
        .org 0x400
