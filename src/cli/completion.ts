/**
 * Completion for bash, zsh and fish, made from the commands themselves: nouns, verbs and options. Names of things are not
 * completed: that would ask the vault at every key.
 */
import type { Command } from 'commander';

export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

/** A script for `eval` or for the shell's folder of completions. */
export function completionScript(program: Command, shell: Shell): string {
  const words = wordsByPath(program);
  if (shell === 'fish') return fish(program);
  const cases = [...words].map(([path, list]) => `    '${path}') words='${list.join(' ')}' ;;`).join('\n');
  const bash = `_leeward() {
  local path= word words= current=\${COMP_WORDS[COMP_CWORD]}
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case $word in -*) ;; *) [ "\${path##* }" = "$word" ] || path="$path $word" ;; esac
  done
  path=\${path# }
  while :; do
    case $path in
${cases}
    esac
    [ -n "$words" ] || [ -z "$path" ] && break
    case $path in *' '*) path=\${path% *} ;; *) path= ;; esac
  done
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _leeward leeward
`;
  return shell === 'bash' ? bash : `autoload -U +X bashcompinit && bashcompinit\n${bash}`;
}

/** What may follow each path of nouns and verbs. */
function wordsByPath(program: Command): Map<string, string[]> {
  const found = new Map<string, string[]>();
  const walk = (command: Command, path: string) => {
    const options = [...command.options, ...program.options].flatMap(({ long }) => (long ? [long] : []));
    found.set(path, [...command.commands.map((child) => child.name()), ...new Set(options)]);
    for (const child of command.commands) walk(child, path === '' ? child.name() : `${path} ${child.name()}`);
  };
  walk(program, '');
  return found;
}

function fish(program: Command): string {
  const quoted = (text: string) => `'${text.replaceAll("'", "\\'")}'`;
  const lines = ['complete -c leeward -f'];
  for (const child of program.commands) {
    lines.push(
      `complete -c leeward -n __fish_use_subcommand -a ${child.name()} -d ${quoted(child.description())}`,
    );
    for (const verb of child.commands)
      lines.push(
        `complete -c leeward -n '__fish_seen_subcommand_from ${child.name()}' -a ${verb.name()} -d ${quoted(verb.description())}`,
      );
  }
  return `${lines.join('\n')}\n`;
}
