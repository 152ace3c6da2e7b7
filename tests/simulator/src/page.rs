//! The frame of every page that a double shows, and the escaping of what goes into it.

/// Colours and words that tell one double from the other at a glance.
pub(crate) struct Look {
    /// What the band on top says.
    pub(crate) name: &'static str,
    /// What the thing is, in small letters beside the name.
    pub(crate) note: &'static str,
    /// The colour of band and buttons.
    pub(crate) colour: &'static str,
}

const STYLE: &str = "
*{box-sizing:border-box}
body{margin:0;font:16px/1.5 system-ui,sans-serif;color:#1d2433;background:#f3f5f8}
header{background:var(--colour);color:#fff;padding:.8rem 1.5rem}
header b{margin-right:.8rem}header small{opacity:.85}
main{max-width:52rem;margin:2rem auto;padding:1.5rem 2rem;background:#fff;border-radius:.6rem;
box-shadow:0 1px 4px #0002}
h1{font-size:1.4rem;margin:0 0 1rem}h2{font-size:1.1rem;margin:1.6rem 0 .6rem}
button{font:inherit;padding:.5rem 1rem;border:1px solid var(--colour);border-radius:.4rem;
background:#fff;color:var(--colour);cursor:pointer}
button:hover,button.main{background:var(--colour);color:#fff}
input[type=text]{font:inherit;padding:.45rem .6rem;border:1px solid #aab3c2;border-radius:.4rem}
form{margin:.4rem 0}form.row{display:flex;gap:.6rem;flex-wrap:wrap}
.people button{display:block;width:100%;text-align:left;margin:.35rem 0}
.people small{opacity:.75;margin-left:.5rem}
table{border-collapse:collapse;width:100%;font-size:.9rem}
td,th{text-align:left;padding:.3rem .6rem;border-top:1px solid #e3e7ee;vertical-align:top}
td{overflow-wrap:anywhere}th{white-space:nowrap}
.who{font-size:1.1rem;padding:.8rem 1rem;background:#eef3fb;border-radius:.4rem}
nav a{margin-right:1rem}a{color:var(--colour)}
";

/// A whole page.
pub(crate) fn page(look: &Look, title: &str, content: &str) -> String {
    let Look { name, note, colour } = look;
    let title = escape(title);
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <link rel=\"icon\" href=\"data:,\"><title>{title} · {name}</title>\
         <style>:root{{--colour:{colour}}}{STYLE}</style></head>\n<body>\
         <header><b>{name}</b><small>{note}</small></header>\n\
         <main><h1>{title}</h1>\n{content}\n</main></body></html>\n"
    )
}

/// `text` for use in HTML, between tags or in a quoted attribute.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}
