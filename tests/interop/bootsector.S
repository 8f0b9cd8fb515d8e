/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A boot sector for test_seabios.py. The firmware loads it from the disk; it reads SECTORS more by
 * int 13h in pieces of different lengths, adds up their 32-bit words, shows the sum, writes one
 * sector back with the sum in it, reads that again, and powers off through the PIIX4's ACPI port.
 * All it says goes to port 0xe9 (isa-debugcon).
 *
 * With CD defined it is the boot image of an El Torito CD: its sectors have 2048 bytes, begin at
 * block CD, and none is written.
 */
.ifdef CD
        .set SECTOR_BYTES, 2048
        .set FIRST, CD - 1              /* what is before the first that is read */
.else
        .set SECTOR_BYTES, 512
        .set FIRST, 0
.endif
        .set SECTOR_PARAGRAPHS, SECTOR_BYTES / 16
        .set SECTORS, 64
        .set BUFFER, 0x1000             /* segment */
        .set WRITTEN, 100               /* the sector that is written */

        .code16
        .globl _start
_start: ljmp $0, $1f
1:      xor %ax, %ax
        mov %ax, %ds
        mov %ax, %ss
        mov $0x7c00, %sp
        cld
        mov %dl, drive
        mov $hello, %si
        call say

        /* 1, 7, 25 and 31 sectors, one behind the other. */
        mov $pieces, %bx
1:      mov (%bx), %al
        test %al, %al
        jz 2f
        xor %ah, %ah
        mov %ax, dap_count
        mov $0x42, %ah
        call disk
        mov (%bx), %al
        xor %ah, %ah
        add %ax, dap_lba
        imul $SECTOR_PARAGRAPHS, %ax
        add %ax, dap_segment
        inc %bx
        jmp 1b

2:      mov $BUFFER, %bx
        xor %edx, %edx
        mov $SECTORS, %di
2:      mov %bx, %ds
        xor %si, %si
        mov $SECTOR_BYTES / 4, %cx
1:      lodsl
        add %eax, %edx
        loop 1b
        add $SECTOR_PARAGRAPHS, %bx
        dec %di
        jnz 2b
        xor %ax, %ax
        mov %ax, %ds
        mov $sum, %si
        call say
        mov %edx, %ebp
        call say_hex
.ifndef CD

        /* Write a sector that holds the sum, clear the buffer, read it back. */
        movw $BUFFER, dap_segment
        movw $1, dap_count
        movw $WRITTEN, dap_lba
        mov $BUFFER, %ax
        mov %ax, %es
        mov %ebp, %es:0
        mov $0x43, %ah
        call disk
        movl $0, %es:0
        mov $0x42, %ah
        call disk
        cmp %ebp, %es:0
        mov $wrote, %si
        je 1f
        mov $failed, %si
1:      call say
.endif

off:    mov $0x604, %dx                 /* PM1a control of the pc machine: S5 */
        mov $0x2000, %ax
        out %ax, %dx
1:      hlt
        jmp 1b

/* int 13h, function AH, by the disk address packet; ends the guest on an error. */
disk:   xor %al, %al
        mov drive, %dl
        mov $dap, %si
        int $0x13
        jc 1f
        ret
1:      mov $failed, %si
        call say
        jmp off

say:    lodsb
        test %al, %al
        jz 1f
        out %al, $0xe9
        jmp say
1:      ret

say_hex:
        mov $8, %cx
1:      rol $4, %edx
        mov %dl, %al
        and $15, %al
        add $'0', %al
        cmp $'9', %al
        jbe 2f
        add $'a' - '9' - 1, %al
2:      out %al, $0xe9
        loop 1b
        mov $'\n', %al
        out %al, $0xe9
        ret

hello:  .asciz "boot sector runs\n"
sum:    .asciz "sum "
wrote:  .asciz "written and read back\n"
failed: .asciz "failed\n"
pieces: .byte 1, 7, 25, 31, 0
drive:  .byte 0
        .balign 4
dap:    .byte 16, 0
dap_count: .word 0
        .word 0
dap_segment: .word BUFFER
dap_lba: .quad FIRST + 1
        .org 510
        .word 0xaa55
