/**
 * Completion for bash, zsh and fish, made from the commands themselves: nouns with their other names, verbs, options, and the
 * values of those that have a choice. Names of things are not completed: that would ask the vault at every key.
 */
import type { Command, Option } from 'commander';

export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

/** A script for `eval` or for the shell's folder of completions. */
export function completionScript(program: Command, shell: Shell): string {
  if (shell === 'fish') return fish(program);
  // zsh has bash's completion as a part that must be asked for.
  const before =
    shell === 'zsh'
      ? 'autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n'
      : '';
  return `${before}${bash(program)}`;
}

const namesOf = (command: Command): string[] => [command.name(), ...command.aliases()];
const takesValue = ({ required, optional }: Option): boolean => required || optional;

function bash(program: Command): string {
  const words = [...wordsByPath(program)]
    .map(([path, list]) => `    '${path}') words='${list.join(' ')}' ;;`)
    .join('\n');
  const options = allOptions(program);
  const valued = [...new Set(options.filter(takesValue).map(({ long }) => long))].join('|');
  const choices = options
    .filter(({ argChoices }) => argChoices !== undefined)
    .map(({ long, argChoices }) => `    ${long}) words='${argChoices!.join(' ')}' ;;`);
  // The path of nouns and verbs is what is left when options and their values are taken out; what follows the longest known
  // beginning of it is offered. After an option with a value: its choices, or else files.
  return `_leeward() {
  local path= word before= words= current=\${COMP_WORDS[COMP_CWORD]}
  [ "$current" = = ] && current=
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    [ "$word" = = ] && continue
    case $before in ${valued}) before= ; continue ;; esac
    case $word in -*) before=$word ;; *) before= path="$path $word" ;; esac
  done
  path=\${path# }
  case $before in
${[...new Set(choices)].join('\n')}
    ${valued}) return ;;
  esac
  while [ -z "$words" ]; do
    case $path in
${words}
    esac
    [ -n "$words" ] || [ -z "$path" ] && break
    case $path in *' '*) path=\${path% *} ;; *) path= ;; esac
  done
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _leeward leeward
`;
}

function allOptions(program: Command): Option[] {
  return [...program.options, ...program.commands.flatMap(allOptions)];
}

/** What may follow each path of nouns and verbs. */
function wordsByPath(program: Command): Map<string, string[]> {
  const found = new Map<string, string[]>();
  const walk = (command: Command, path: string) => {
    const options = [...command.options, ...program.options].flatMap(({ long }) => (long ? [long] : []));
    found.set(path, [
      ...command.commands.flatMap(namesOf),
      ...command.registeredArguments.flatMap(({ argChoices }) => argChoices ?? []),
      ...new Set(options),
    ]);
    for (const child of command.commands)
      for (const name of namesOf(child)) walk(child, path === '' ? name : `${path} ${name}`);
  };
  walk(program, '');
  return found;
}

function fish(program: Command): string {
  const quoted = (text: string) => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
  const optionLine = (condition: string, { long, description, argChoices, ...option }: Option) =>
    `complete -c leeward -n ${quoted(condition)} -l ${long!.replace(/^--/, '')}${
      takesValue(option as Option) ? ' -r' : ''
    }${argChoices === undefined ? '' : ` -f -a ${quoted(argChoices.join(' '))}`} -d ${quoted(description)}`;
  const lines = ['complete -c leeward -f', ...program.options.map((option) => optionLine('true', option))];
  for (const child of program.commands) {
    const within = `__fish_seen_subcommand_from ${namesOf(child).join(' ')}`;
    for (const name of namesOf(child))
      lines.push(`complete -c leeward -n __fish_use_subcommand -a ${name} -d ${quoted(child.description())}`);
    for (const { argChoices } of child.registeredArguments)
      if (argChoices !== undefined)
        lines.push(`complete -c leeward -n ${quoted(within)} -a ${quoted(argChoices.join(' '))}`);
    lines.push(...child.options.map((option) => optionLine(within, option)));
    const verbs = child.commands.flatMap(namesOf).join(' ');
    for (const verb of child.commands) {
      for (const name of namesOf(verb))
        lines.push(
          `complete -c leeward -n ${quoted(`${within}; and not __fish_seen_subcommand_from ${verbs}`)} -a ${name} -d ${quoted(verb.description())}`,
        );
      const deeper = `${within}; and __fish_seen_subcommand_from ${namesOf(verb).join(' ')}`;
      lines.push(...verb.options.map((option) => optionLine(deeper, option)));
    }
  }
  return `${lines.join('\n')}\n`;
}
