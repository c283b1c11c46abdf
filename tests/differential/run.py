"""Runs the comparisons named (default: all) and judges their differences by `expected`.

run.py [MODULE…]        compares; fails when something differs that is not expected
run.py --update         compares everything and writes the counts of what is open anew
run.py --show CLASS [TEXT]   groups of the last run's differences of a class
"""
import sys, os, re, json, importlib, time, collections
HERE = os.path.dirname(os.path.abspath(__file__))
ALL = ['s6', 's5', 's7', 's1a', 's1b', 's2', 's3', 's4', 's8', 's9', 's10']


def read_expected():
    """Lines `meant MODULE CLASS NAME :: REASON` (three patterns) and `open MODULE CLASS :: COUNT`."""
    meant, still_open = [], {}
    for line in open(HERE + '/expected'):
        line = line.rstrip('\n')
        if not line or line.startswith('#'):
            continue
        head, tail = line.split(' :: ', 1)
        word, module, rest = head.split(' ', 2)
        if word == 'open':
            still_open[module, rest] = int(tail)
        else:
            cls, name = rest.split(' ', 1)
            meant.append((re.compile(module), re.compile(cls.replace('_', ' ')), re.compile(name)))
    return meant, still_open


def is_meant(meant, module, record):
    text = record['name'] + ' ' + json.dumps(record.get('diffs') or '') + (record.get('up_msg') or '')
    return any(m.fullmatch(module) and c.match(record['cls']) and n.search(text) for m, c, n in meant)


def show(directory, cls, text):
    groups = collections.OrderedDict()
    for module in ALL:
        path = f'{directory}/{module}.json'
        records = json.load(open(path))['records'] if os.path.exists(path) else []
        for record in records:
            if record['cls'].startswith(cls) and text in record['name']:
                where = [re.sub(r'\[\d+\]', '', d[0]) for d in (record.get('diffs') or [])[:3]]
                key = (record['cls'], re.sub('"[^"]*"', '…', record.get('up_msg', ''))[:90], *where)
                groups.setdefault(key, []).append(record)
    for key, records in sorted(groups.items(), key=lambda g: -len(g[1]))[:40]:
        record = records[0]
        print(f"{len(records)} {record['name'][:120]} [{record['cls']}] {record['cox']}/{record['up']}")
        for side in ('cox', 'up'):
            if side + '_msg' in record:
                print(f"    {side:3} {record[side + '_msg'][:300]}")
        for path, ours, theirs in (record.get('diffs') or [])[:3]:
            print(f'    {path[-80:]} | cox {ours[:100]} | up {theirs[:100]}')


def main(arguments):
    import lib
    if arguments[:1] == ['--show']:
        return show(lib.W, arguments[1], ' '.join(arguments[2:]))
    update = arguments == ['--update']
    modules = ALL if update or not arguments else arguments
    meant, still_open = read_expected()
    found, total, kept = {}, [0, 0, 0], collections.Counter()
    for module in modules:
        lib.R.__init__()
        begun = time.time()
        code = importlib.import_module(module)
        if hasattr(code, 'run'):
            code.run()
        lib.R.save(f'{lib.W}/{module}.json')
        records = [r for r in lib.R.recs if not is_meant(meant, module, r)]
        for record in records:
            kept[record['cls']] += 1
            found[module, record['cls']] = found.get((module, record['cls']), 0) + 1
        total[0] += lib.R.n
        total[1] += len(records)
        total[2] += len(lib.R.recs) - len(records)
        print(f'{module}: {lib.R.n} compared, {len(records)} differ, {len(lib.R.recs) - len(records)} '
              f'meant ({time.time() - begun:.0f} s)', flush=True)
    print(f'{total[0]} compared, {total[1]} differ, {total[2]} differences are meant')
    for cls, count in kept.most_common():
        print(f'  {count:6} {cls}')
    if update:
        lines = [line for line in open(HERE + '/expected') if not line.startswith('open ')]
        lines += [f'open {module} {cls} :: {count}\n' for (module, cls), count in sorted(found.items())]
        open(HERE + '/expected', 'w').writelines(lines)
        return
    worse = [(key, count) for key, count in sorted(found.items()) if count > still_open.get(key, 0)]
    for (module, cls), count in worse:
        print(f'{module}: {count} of class "{cls}", {still_open.get((module, cls), 0)} are known: '
              f'run.py --show "{cls}"')
    sys.exit(1 if worse else 0)


if __name__ == '__main__':
    sys.path.insert(0, HERE)
    main(sys.argv[1:])
