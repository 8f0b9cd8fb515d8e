# SPDX-License-Identifier: GPL-2.0-or-later
"""What is measured: each function of GROUPS takes a Bench and yields Rows.

A new figure is a Row in its group's function, a new group a function and a line of GROUPS. Whatever
compares sides takes turns in short rounds (Bench.turns()), so that what else the machine does hits
all of them.
"""

import os
import shutil
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import guest_accesses
import guest_iops
from sides import (TOP, Asker, BenchError, NbdServer, Session, loaded_libraries, make_image,
                   median, memory_kib, percentile, run, set_pages, start_all, thread_cpu_ns, weigh)

DEPTHS = (1, 4, 16, 64)
CACHES = {'O_DIRECT': 'cache=none', 'page cache': 'cache=writeback'}


@dataclass
class Row:
    """One line of a table. The ratio is the first side's figure by the second one's."""
    title: str
    unit: str
    figures: dict  # by the side's name
    digits: int = 0
    aim: tuple = ()  # ('<=' or '>=', ratio)
    limit: float = None  # that our figure must not exceed
    series: str = ''  # in a plot; with x
    x: float = None
    x_label: str = 'queue depth'


@dataclass
class Bench:
    sides: list  # ours, the stock, and maybe ours by vfio-user
    build_dir: Path
    folder: Path
    rounds: int = 15
    ms: int = 100
    image_mib: int = 256
    images: list = field(default_factory=list)

    def __post_init__(self):
        self.client = self.program('bench-lsi')

    def program(self, name):
        """Made by ninja, as it shares code with the tree."""
        target = f'tests/bench/{name}'
        run(['ninja', '-C', self.build_dir, target])
        return self.build_dir / target

    def image(self, number):
        while len(self.images) <= number:
            self.images.append(make_image(self.folder / f'disk{len(self.images)}.img',
                                          self.image_mib))
        return self.images[number]

    def session(self, side, drive='', devices=1, disk=None):
        """`devices` of a side, each with an image of its own; or one with disk(side)."""
        disks = [disk(side)] if disk else [self.image(i) for i in range(devices)]
        for path in disks:
            set_pages(path, 'cache=none' not in drive)
        return Session(side, self.client, disks, drive)

    def turns(self, orders, drive='', devices=1, sides=None, disk=None):
        """{order: {side: [the answers of a round's devices, ...]}}"""
        answers = {order: defaultdict(list) for order in orders}
        sides = sides or self.sides
        with ExitStack() as stack:
            sessions = [stack.enter_context(self.session(side, drive, devices, disk))
                        for side in sides]
            for session in sessions:
                session.ask(f'load randread 4096 4 {self.ms // 2} 1')  # not cold
            for _ in range(self.rounds):
                for order in orders:
                    for session in sessions:
                        answers[order][session.side.name].append(session.ask(order))
        return answers

    def sparse_image(self, name, size):
        path = self.folder / f'{name}.img'
        with open(path, 'ab') as out:
            out.truncate(size)
        return path

    def host_load(self):
        """guest-load, linked statically; it serves here, too."""
        program = self.folder / 'guest-load'
        if not program.exists():
            run([*(os.environ.get('CC') or 'cc').split(), '-std=gnu11', '-O2', '-static',
                 '-D_GNU_SOURCE', TOP / 'tests/bench/guest-load.c', '-o', program])
        return program

    def load(self, kind, size, depth, segments=1, more=''):
        return f'load {kind} {size} {depth} {self.ms} {segments} {more}'.strip()


def over_rounds(by_side, figure):
    """The median of each side, of figure(answers of a round)."""
    return {side: median([figure(answers) for answers in rounds])
            for side, rounds in by_side.items()}


def iops(answers):
    return sum(a['ios'] / (a['ns'] / 1e9) for a in answers)


def cpu_us(answers):
    """The remote's, of an I/O. The answers are of devices that may share a process."""
    return answers[0]['cpu_remote'] / answers[0]['ios'] / 1e3


def total(name):
    def of(answers):
        return sum(a[name] for a in answers) / sum(a['ios'] for a in answers)
    return of


IOPS_AIMS = {('O_DIRECT', 1): 1.6, ('page cache', 1): 2.0}


def group_iops(bench):
    """4 KiB at random places; tagged commands, queued as Linux does."""
    words = {'randread': 'read', 'randwrite': 'write'}
    for cache, drive in CACHES.items():
        kinds = {(kind, depth): bench.load(kind, 4096, depth)
                 for kind in words for depth in DEPTHS}
        answers = bench.turns(list(kinds.values()), drive)
        for (kind, depth), order in kinds.items():
            aim = IOPS_AIMS.get((cache, depth)) if depth < 16 else 3.0
            yield Row(f'{words[kind]}, {cache}, queue depth {depth}', 'IOPS',
                      over_rounds(answers[order], iops), aim=('>=', aim) if aim else (),
                      series=f'{words[kind]}, {cache}', x=depth)


def group_cpu(bench):
    """What one 4 KiB random read, O_DIRECT, costs."""
    orders = {depth: bench.load('randread', 4096, depth) for depth in (1, 16)}
    ours, stock = (side.name for side in bench.sides[:2])
    quiet = without_polling(bench.sides[0])
    answers = bench.turns(list(orders.values()), 'cache=none',
                          sides=bench.sides + ([quiet] if quiet else []))
    for depth, order in orders.items():
        by_side = answers[order]

        def row(title, unit, figure, digits, **more):
            figures = over_rounds(by_side, figure)
            figures.pop('without polling', None)
            return Row(f'queue depth {depth}: {title}', unit, figures, digits, **more)
        yield row('CPU of the remote', 'us', cpu_us, 1)
        if quiet:
            figures = over_rounds(by_side, cpu_us)
            yield Row(f'queue depth {depth}: the same, remote with poll-max-ns=0', 'us',
                      {ours: figures[quiet.name], stock: figures[stock]}, 1,
                      aim=('<=', 0.5) if depth == 16 else ())
        yield row('CPU of the client', 'us', lambda a: total('cpu_client')(a) / 1e3, 1)
        yield row('register accesses', '',
                  lambda a: total('reg_reads')(a) + total('reg_writes')(a), 2)
        yield row('interrupts', '', total('irqs'), 2)


def without_polling(side):
    """None where the program has no such option."""
    if 'poll-max-ns' not in run([side.program, '-object', 'x-remote-object,help']):
        return None
    return replace(side, name='without polling', link='poll-max-ns=0')


def group_start(bench):
    """Start-up, memory and size."""
    samples = defaultdict(lambda: defaultdict(list))
    ours = bench.sides[0]
    os.sync()  # pages of a program that was just linked would count as dirty
    for side in bench.sides:
        if side.protocol == 'mpqemu':
            samples['size'][side.name], samples['needed'][side.name] = (
                [figure] for figure in weigh(side.program, bench.folder))
    for _ in range(bench.rounds):
        for side in bench.sides:
            if side.protocol == 'mpqemu':
                samples['start'][side.name] += start_times(bench, side, 8)
        for _ in range(8):  # close together, as their difference is small
            for name, words in (('sandboxed', ()), ('open', ('-sandbox', 'off'))):
                samples[name][ours.name] += start_times(bench, replace(ours, more=words), 2)
        for side in bench.sides:
            with bench.session(side) as session:
                session.ask('load randread 4096 1 1 1')
                for name, kib in memory_kib(session.pids).items():
                    samples[name][side.name].append(kib)
                samples['libraries'][side.name].append(loaded_libraries(session.pids[0]))

    def row(title, name, unit, fold=median, scale=1, **more):
        return Row(title, unit, {side: fold(values) / scale
                                 for side, values in samples[name].items()}, **more)
    yield row('start to first config reply, p50', 'start', 'ms', scale=1e6, digits=2,
              aim=('<=', 0.15))
    yield row('start to first config reply, p95', 'start', 'ms', percentile(0.95), 1e6, digits=2)
    yield Row('of it, the sandbox', 'ms',
              {ours.name: (median(samples['sandboxed'][ours.name])
                           - median(samples['open'][ours.name])) / 1e6}, 2, limit=1)
    yield row('PSS after a few reads', 'Pss', 'KiB', aim=('<=', 0.15))
    yield row('private dirty memory after a few reads', 'Private_Dirty', 'KiB')
    yield row('resident memory after a few reads', 'Rss', 'KiB')
    yield row('stripped program', 'size', 'KiB', scale=1024)
    yield row('NEEDED libraries', 'needed', '')
    yield row('loaded libraries', 'libraries', '')


def start_times(bench, side, times):
    output = run([bench.client, 'start', times, *side.arguments([bench.image(0)], ['FD'])])
    return [int(line.split()[1]) for line in output.splitlines()]


def group_registers(bench):
    """Register accesses, one awaited at a time."""
    orders = {name: f'{name} {bench.ms * 5}' for name in ('regs', 'bare', 'posted')}
    answers = bench.turns(list(orders.values()))

    def row(title, order, name, **more):
        return Row(title, 'us', over_rounds(answers[orders[order]], lambda a: a[0][name] / 1e3), 1,
                   **more)
    yield row('read of ISTAT0, p50', 'regs', 'read_p50', aim=('<=', 0.6))
    yield row('read of ISTAT0, p99', 'regs', 'read_p99')
    yield row('write of SCRATCHA, p50', 'regs', 'write_p50', aim=('<=', 0.6))
    yield row('write of SCRATCHA, p99', 'regs', 'write_p99')
    yield row('bare socket pair, same sizes, p50', 'bare', 'bare_p50')
    yield row('bare socket pair, same sizes, p99', 'bare', 'bare_p99')
    yield Row('writes of SCRATCHA, and a read behind them', '1000/s',
              over_rounds(answers[orders['posted']], lambda a: a[0]['per_second'] / 1e3), 1)


def group_device(bench):
    """The device alone, in one process: what each part of its work costs."""
    side = bench.sides[0]
    samples = defaultdict(list)
    for line in run([bench.program('bench-device'), bench.rounds]).splitlines():
        name, value = line.split()
        samples[name].append(float(value))

    def row(title, unit, name, figure, digits=1):
        return Row(title, unit, {side.name: figure(median(samples[name]))}, digits)

    for name, place in (('insn-ram', 'script RAM'), ('insn-guest', 'guest memory')):
        yield row(f'SCRIPTS from {place}', 'million/s', name, lambda ns: 1e3 / ns)
    for name, title in (('reg-read', 'register read'), ('reg-write', 'register write, 4 bytes')):
        yield row(f"{title}, at the device's door", 'ns', name, lambda ns: ns)
    yield row('absent target, until its time-out', 'us', 'absent', lambda ns: ns / 1e3, 2)


def group_sequential(bench):
    """Sequential transfers, 4 at a time."""
    for cache, drive in CACHES.items():
        orders = {(kind, kib): bench.load(kind, kib * 1024, 4, segments)
                  for kind in ('read', 'write') for kib, segments in ((128, 32), (1024, 64))}
        answers = bench.turns(list(orders.values()), drive)
        for (kind, kib), order in orders.items():
            yield Row(f'{kind}, {cache}, {kib} KiB', 'MB/s',
                      over_rounds(answers[order], lambda a, b=kib * 1024: iops(a) * b / 1e6),
                      aim=('>=', 1.3) if kib == 1024 else ())
    rates = [disk_rate(bench, 1 << 20) for _ in range(bench.rounds)]
    yield Row('the backing store by itself: read, O_DIRECT, 1024 KiB', 'MB/s',
              {'remote': median(rates) * (1 << 20) / 1e6})


def disk_rate(bench, size):
    output = run([bench.host_load(), bench.image(0), 4, bench.ms, size])
    return int(output.split()[1])


def group_devices(bench):
    """4 KiB random reads, O_DIRECT, of several devices at once; the stock has a process for each"""
    order = bench.load('randread', 4096, 16)
    for devices in (1, 2, 4):
        answers = bench.turns([order], 'cache=none', devices)
        yield Row(f'{devices} devices, queue depth 16 each', 'IOPS',
                  over_rounds(answers[order], iops), series='all devices', x=devices,
                  x_label='devices')


def group_many_devices(bench):
    """1 to 64 devices; the stock has a process for each."""
    first = {}
    for devices in (1, 4, 16, 64):
        disks = [bench.sparse_image(f'many{i}', 64 << 20) for i in range(devices)]
        figures = defaultdict(dict)
        for side in bench.sides:
            if side.protocol == 'mpqemu':
                figures['start'][side.name] = median(
                    [start_all(side, disks) for _ in range(min(3, bench.rounds))]) / 1e6
            with Session(side, bench.client, disks) as session:
                figures['iops'][side.name] = iops(session.ask(bench.load('randread', 4096, 1)))
                for name, kib in memory_kib(session.pids).items():
                    figures[name][side.name] = kib
        first = first or figures
        plot = {'x': devices, 'x_label': 'devices'}
        yield Row(f'{devices} devices: start to all config replies', 'ms', figures['start'], 1,
                  series='start (ms)', **plot)
        yield Row(f'{devices} devices: PSS', 'KiB', figures['Pss'], series='PSS (KiB)', **plot)
        if devices > 1:
            more = {side: (kib - first['Private_Dirty'][side]) / (devices - 1)
                    for side, kib in figures['Private_Dirty'].items()}
            yield Row(f'{devices} devices: private dirty memory of one more', 'KiB', more,
                      limit=1024)
        yield Row(f'{devices} devices: reads, queue depth 1 each', 'IOPS', figures['iops'],
                  series='reads of all (IOPS)', **plot)


def group_images(bench):
    """Sparse images of 1 GiB to 4 TiB."""
    for gib in (1, 32, 1024, 4096):
        disk = bench.sparse_image('sparse', gib << 30)
        starts, figures = {}, defaultdict(dict)
        for side in bench.sides:
            if side.protocol == 'mpqemu':
                starts[side.name] = median(
                    [start_all(side, [disk]) for _ in range(2 * bench.rounds)]) / 1e6
            with Session(side, bench.client, [disk]) as session:
                figures['iops'][side.name] = iops(session.ask(bench.load('randread', 4096, 16)))
                figures['pss'][side.name] = memory_kib(session.pids)['Pss']
        plot = {'x': gib, 'x_label': 'GiB'}
        yield Row(f'{gib} GiB: start to config reply', 'ms', starts, 1, series='start (ms)', **plot)
        yield Row(f'{gib} GiB: PSS after reads', 'KiB', figures['pss'], series='PSS (KiB)', **plot)
        yield Row(f'{gib} GiB: reads of holes, queue depth 16', 'IOPS', figures['iops'],
                  series='reads (IOPS)', **plot)


def group_regions(bench):
    """Guest memory announced anew each millisecond, in 1 to 7 regions, under load."""
    orders = {n: bench.load('randread', 4096, 16, 1, n) for n in (1, 2, 4, 7)}
    answers = bench.turns(list(orders.values()))
    for regions, order in orders.items():
        yield Row(f'{regions} regions: reads, page cache, queue depth 16', 'IOPS',
                  over_rounds(answers[order], iops), series='page cache, queue depth 16',
                  x=regions, x_label='regions')


def group_segments(bench):
    """Commands of 48 KiB in 1 to 96 segments."""
    orders = {n: bench.load('randread', 48 << 10, 4, n) for n in (1, 8, 32, 96)}
    answers = bench.turns(list(orders.values()))
    for segments, order in orders.items():
        yield Row(f'{segments} segments: reads, page cache, queue depth 4', 'IOPS',
                  over_rounds(answers[order], iops), series='page cache, queue depth 4',
                  x=segments, x_label='segments')


def group_qcow2(bench):
    """qcow2 images; 4 KiB at random places."""
    if not shutil.which('qemu-img'):
        yield Row('not measured: qemu-img is not there', '', {})
        return
    full = bench.folder / 'full.qcow2'
    run(['qemu-img', 'convert', '-O', 'qcow2', bench.image(0), full])
    ours = bench.sides[0]
    raw = replace(ours, name='raw')
    sides = [replace(side, image='qcow2') for side in bench.sides]
    orders = {depth: bench.load('randread', 4096, depth) for depth in (1, 16)}
    for cache, drive in CACHES.items():
        answers = bench.turns(list(orders.values()), f'{drive},readonly=on', sides=[*sides, raw],
                              disk=lambda side: full if side.image == 'qcow2' else bench.image(0))
        for depth, order in orders.items():
            figures = over_rounds(answers[order], iops)
            beside = {ours.name: figures[ours.name], bench.sides[1].name: figures.pop(raw.name)}
            yield Row(f'read, {cache}, queue depth {depth}', 'IOPS', figures,
                      aim=('>=', 2.0 if depth == 1 else 3.0))
            if depth == 16:  # 256 MiB: all of its mapping has been read by now
                yield Row(f'the same beside our own raw, {cache}, queue depth {depth}', 'IOPS',
                          beside, aim=('>=', 0.9))
    yield from qcow2_allocations(bench, sides)


def qcow2_allocations(bench, sides):
    """Each write goes to a cluster that is not there yet, or hardly any."""
    orders = {depth: bench.load('randwrite', 4096, depth) for depth in (1, 16)}

    def new_image(side):
        path = bench.folder / f'new {side.name}.qcow2'
        run(['qemu-img', 'create', '-f', 'qcow2', path, '256G'])
        return path
    answers = bench.turns(list(orders.values()), 'cache=none', sides=sides, disk=new_image)
    for depth, order in orders.items():
        yield Row(f'write that allocates, O_DIRECT, queue depth {depth}', 'IOPS',
                  over_rounds(answers[order], iops), aim=('>=', 1.0))


def group_nbd(bench):
    """NBD over a UNIX socket, of one qemu-nbd; 4 KiB at random places."""
    if not shutil.which('qemu-nbd'):
        yield Row('not measured: qemu-nbd is not there', '', {})
        return
    words = {'randread': 'read', 'randwrite': 'write'}
    orders = {(kind, depth): bench.load(kind, 4096, depth) for kind in words for depth in (1, 16)}
    set_pages(bench.image(0), True)
    with NbdServer(bench.folder / 'nbd', bench.image(0)) as server:
        try:
            answers = bench.turns(list(orders.values()),
                                  disk=lambda side: f'nbd:unix:{server.path}')
        except BenchError as err:  # the module is not built, say
            yield Row(f'not measured: {err}', '', {})
            return
    for (kind, depth), order in orders.items():
        yield Row(f'{words[kind]}, queue depth {depth}', 'IOPS',
                  over_rounds(answers[order], iops), aim=('>=', 1.5) if depth == 16 else (),
                  series=words[kind], x=depth)


def group_queries(bench):
    """What 1,000 query-remote each second cost the device's thread."""
    side = without_polling(bench.sides[0])
    if not side:
        yield Row('not measured: the program has no poll-max-ns', '', {})
        return
    path = bench.folder / 'qmp'
    side = replace(side, more=('-qmp', f'unix:{path},server=on,wait=off'))
    order = bench.load('randread', 4096, 16)
    samples = defaultdict(list)
    commands = ('query-remote', 'query-name')
    with bench.session(side) as session:
        session.ask(order)
        for _ in range(4 * bench.rounds):  # their difference is small
            samples['quiet'].append(thread_cost(session, order))
            for command in commands:
                with Asker(path, command, 1000) as asker:
                    samples[command].append(thread_cost(session, order))
                samples['answers'].append(asker.answers / bench.ms * 1000)
    name = bench.sides[0].name
    yield Row('its CPU for a read, page cache, queue depth 16', 'us',
              {name: median(samples['quiet']) / 1e3}, 2)
    for command, limit in zip(commands, (2, None)):
        yield Row(f'the same while it is asked {command}', 'us',
                  {name: median(samples[command]) / 1e3}, 2)
        more = median([asked / quiet - 1
                       for asked, quiet in zip(samples[command], samples['quiet'])])
        yield Row('more by', '%', {name: 100 * more}, 1, limit=limit)
    yield Row('answers', '1/s', {name: median(samples['answers'])})


def thread_cost(session, order):
    """Nanoseconds of the first device's thread for an I/O."""
    pid = session.pids[0]
    before = thread_cpu_ns(pid, 'link0')
    answer, = session.ask(order)
    return (thread_cpu_ns(pid, 'link0') - before) / answer['ios']


def group_proxy(bench):
    """A register read through our own x-pci-proxy-dev."""
    side = bench.sides[0]
    samples = defaultdict(list)
    program = bench.program('bench-proxy')
    output = run([program, bench.rounds * 700, *side.arguments([bench.image(0)], ['FD'])])
    for line in output.splitlines():
        name, value = line.split()
        samples[name].append(int(value))
    for name, title in (('bare', 'bare socket pair, poll() and epoll'),
                        ('proxy-echo', 'through the proxy, answered by an echo'),
                        ('proxy-remote', 'through the proxy, answered by the remote')):
        yield Row(f'{title}, p50', 'us', {side.name: median(samples[name]) / 1e3}, 1)
        yield Row(f'{title}, p99', 'us', {side.name: percentile(0.99)(samples[name]) / 1e3}, 1)


def group_guest(bench):
    """4 KiB random reads in a TCG guest: vfio-user beside the same QEMU's own LSI."""
    try:
        samples = guest_iops.measure(bench.sides[0].program, bench.host_load(), bench.rounds)
    except guest_iops.Unavailable as err:
        yield Row(f'not measured: {err}', '', {})
        return
    for depth in guest_iops.DEPTHS:
        yield Row(f'queue depth {depth}', 'IOPS',
                  {'remote': median(samples['vfio-user'][depth]),
                   'stock': median(samples['own'][depth])},
                  aim=('>=', 0.7 if depth == 1 else 1.0), series='TCG guest', x=depth)


def group_accesses(bench):
    """What one 4 KiB read of a TCG guest takes by vfio-user, with 4 disks at once."""
    try:
        figures = guest_accesses.measure(bench.sides[0].program, bench.host_load(), (1, 4, 16))
    except guest_iops.Unavailable as err:
        yield Row(f'not measured: {err}', '', {})
        return
    for depth, (accesses, interrupts) in figures.items():
        # The stock's with 8 readers, by its own trace: 3.4 and 0.78.
        yield Row(f'depth {depth} of each: register accesses', 'each',
                  {'remote by vfio-user': accesses}, digits=2)
        yield Row(f'depth {depth} of each: interrupts', 'each',
                  {'remote by vfio-user': interrupts}, digits=2)


# In the order of the tables.
GROUPS = {
    'start': group_start,
    'registers': group_registers,
    'iops': group_iops,
    'device': group_device,
    'cpu': group_cpu,
    'sequential': group_sequential,
    'qcow2': group_qcow2,
    'nbd': group_nbd,
    'devices': group_devices,
    'many-devices': group_many_devices,
    'images': group_images,
    'regions': group_regions,
    'segments': group_segments,
    'queries': group_queries,
    'proxy': group_proxy,
    'guest': group_guest,
    'accesses': group_accesses,
}
