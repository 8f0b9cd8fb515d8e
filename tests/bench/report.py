# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows as a table on a terminal, as Markdown, as CSV and as plots."""

import csv

SIGNS = {'<=': 'at most', '>=': 'at least'}


def ratio(row, names):
    """The first side's figure by the second one's; None where one is missing."""
    ours, stock = (row.figures.get(name) for name in names[:2])
    return ours / stock if ours is not None and stock else None


def met(row, names):
    value = ratio(row, names)
    if row.limit is not None and row.figures.get(names[0]) is not None:
        value, (sign, bound) = row.figures[names[0]], ('<=', row.limit)
    elif value is None or not row.aim:
        return ''
    else:
        sign, bound = row.aim
    return 'yes' if (value <= bound if sign == '<=' else value >= bound) else 'no'


def aim(row):
    if row.limit is not None:
        return f'at most {row.limit} {row.unit}'
    return f'{SIGNS[row.aim[0]]} {row.aim[1]}' if row.aim else ''


def cells(rows, names):
    """The table as lists of strings, the header first."""
    table = [['', *names, 'unit', 'ratio', 'aim', 'met']]
    for row in rows:
        value = ratio(row, names)
        figures = (row.figures.get(name) for name in names)
        table.append([row.title,
                      *('-' if f is None else f'{f:.{row.digits}f}' for f in figures), row.unit,
                      '' if value is None else f'{value:.2f}',
                      aim(row), met(row, names)])
    return table


def text(title, rows, names):
    table = cells(rows, names)
    widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
    body = '\n'.join(
        '  '.join([line[0].ljust(widths[0]),
                   *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:]))]).rstrip()
        for line in table)
    return f'{title}\n{body}\n'


def markdown(title, rows, names):
    head, *body = cells(rows, names)
    out = [f'### {title}', '', '| ' + ' | '.join(head) + ' |',
           '|---|' + '---:|' * (len(head) - 1)]
    out += ['| ' + ' | '.join(line) + ' |' for line in body]
    return '\n'.join(out) + '\n'


def write_csv(path, groups, names):
    with open(path, 'w', newline='', encoding='utf-8') as file:
        out = csv.writer(file)
        out.writerow(['group', 'row', *names, 'unit', 'ratio', 'aim', 'met'])
        for name, (_, rows) in groups.items():
            for row in rows:
                value = ratio(row, names)
                out.writerow([name, row.title, *(row.figures.get(n, '') for n in names), row.unit,
                              '' if value is None else value, aim(row),
                              met(row, names)])


def plot(folder, name, title, rows, names):
    """The path of a picture of the rows that have an x; None without any."""
    rows = [row for row in rows if row.x is not None]
    if not rows:
        return None
    import matplotlib
    matplotlib.use('Agg')
    from matplotlib import pyplot
    series = list(dict.fromkeys(row.series for row in rows))
    figure, axes = pyplot.subplots(1, len(series), figsize=(4.2 * len(series), 3.6), squeeze=False)
    for axis, which in zip(axes[0], series):
        mine = [row for row in rows if row.series == which]
        for side in names:
            points = [(row.x, row.figures[side]) for row in mine
                      if row.figures.get(side) is not None]
            if points:
                axis.plot(*zip(*points), marker='o', label=side)
        axis.set_title(which, fontsize=9)
        axis.set_xlabel(mine[0].x_label)
        axis.set_ylabel(mine[0].unit)
        axis.set_xscale('log', base=2)
        axis.set_xticks([row.x for row in mine], [f'{row.x:g}' for row in mine])
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
    axes[0][0].legend(fontsize=8)
    figure.suptitle(title, fontsize=10)
    figure.tight_layout()
    path = folder / f'{name}.png'
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    return path
