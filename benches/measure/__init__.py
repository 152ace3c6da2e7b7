"""The parts of benches/compare.

    machine     what it runs on, as the report says it
    tools       programs that are needed, and how they come
    stage       processes on their cores, a folder, ports; all gone at the end
    process     CPU time and memory of a process, as the kernel counts them
    peers       the upstream and the proxies: their settings and how they start
    logins      sessions, made through the front door
    loads       wrk and our own load (benches/load)
    rows        the table: what is measured, and what is to be reached
    absolutes   memory, and what a request costs beside many sessions and connections
    report      figures to text, Markdown and JSON
    picture     figures to SVG
"""
