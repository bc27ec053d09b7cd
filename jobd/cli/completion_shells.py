"""What the three shells do alike: walk the words before the cursor to the verb that they name.

Between @s stand what `completion_scripts` puts in: the options that take a value, the verbs, those
that a program follows, and what each verb offers.
"""

BASH = """\
# bash completion for jobd: source <(jobd completion bash)
_jobd() {
    local current="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD-1]}"
    local verb="" word index skip="" options="" words="" files=""
    # bash makes three words of --flag=value.
    if [[ $current == = ]]; then
        current=""
    elif [[ $previous == = ]]; then
        previous="${COMP_WORDS[COMP_CWORD-2]}"
    fi
    for ((index = 1; index < COMP_CWORD; index++)); do
        word="${COMP_WORDS[index]}"
        if [[ $word == -- ]]; then
            _jobd_program "$verb" $((index + 1))
            return
        elif [[ $word == = ]]; then
            skip=1
        elif [[ -n $skip ]]; then
            skip=""
        else
            case "$word" in
                @VALUED@) skip=1 ;;
                -*) ;;
                *)
                    case "${verb:+$verb }$word" in
                        @VERBS@) verb="${verb:+$verb }$word" ;;
                        @PROGRAMS@) _jobd_program "$verb" $index; return ;;
                    esac ;;
            esac
        fi
    done
    case "$verb:$previous" in
@VALUES@
    esac
    case "$verb" in
@WORDS@
    esac
    if [[ $current == -* ]]; then
        COMPREPLY=($(compgen -W "$options" -- "$current"))
        return
    fi
    case "${verb:+$verb }" in
        @PROGRAMS@) _jobd_program "$verb" $COMP_CWORD; return ;;
    esac
    COMPREPLY=($(compgen -W "$words" -- "$current"))
    if [[ -n $files ]]; then
        compopt -o default
    fi
}
# What stands behind --: a command, and what it takes, as far as bash-completion knows it.
_jobd_program() {
    local word
    compopt -o default
    case "$1 " in
        @PROGRAMS@) ;;
        *) return ;;
    esac
    if declare -F _comp_command_offset > /dev/null; then
        _comp_command_offset "$2"
    elif declare -F _command_offset > /dev/null; then
        _command_offset "$2"
    elif ((COMP_CWORD == $2)); then
        for word in $(compgen -c -- "${COMP_WORDS[COMP_CWORD]}" | sort -u); do
            type -P -- "$word" > /dev/null && COMPREPLY+=("$word")
        done
    fi
}
complete -F _jobd jobd
"""

ZSH = """\
#compdef jobd
# zsh completion for jobd: jobd completion zsh > a directory of $fpath/_jobd
_jobd() {
    local verb="" word skip="" previous="${words[CURRENT-1]}"
    local -a options parts
    integer index files=0
    if [[ ${words[CURRENT]} == --*=* ]]; then
        previous="${words[CURRENT]%%=*}"
        compset -P 1 '*='
    fi
    for ((index = 2; index < CURRENT; index++)); do
        word="${words[index]}"
        if [[ $word == -- ]]; then
            _jobd_program "$verb" $((index + 1))
            return
        elif [[ -n $skip ]]; then
            skip=""
        else
            case "$word" in
                (@VALUED@) skip=1 ;;
                (-*) ;;
                (*)
                    case "${verb:+$verb }$word" in
                        (@VERBS@) verb="${verb:+$verb }$word" ;;
                        (@PROGRAMS@) _jobd_program "$verb" $index; return ;;
                    esac ;;
            esac
        fi
    done
    case "$verb:$previous" in
@VALUES@
    esac
    case "$verb" in
@WORDS@
    esac
    if [[ ${words[CURRENT]} == -* ]]; then
        _describe -o option options
        return
    fi
    case "${verb:+$verb }" in
        (@PROGRAMS@) _jobd_program "$verb" $CURRENT; return ;;
    esac
    (( ${#parts} )) && _describe word parts
    (( files )) && _files
}
# What stands behind --: a command, and what it takes.
_jobd_program() {
    case "$1 " in
        (@PROGRAMS@)
            words=("${(@)words[$2,-1]}")
            (( CURRENT -= $2 - 1 ))
            _normal ;;
        (*) _files ;;
    esac
}
if [[ ${funcstack[1]} == _jobd ]]; then
    _jobd "$@"
else
    compdef _jobd jobd
fi
"""

FISH = """\
# fish completion for jobd: jobd completion fish > ~/.config/fish/completions/jobd.fish
# The verb before the cursor, and the number of the word where its program begins, or 0.
function __jobd_walk
    set -l verb
    set -l skip 0
    set -l index 1
    set -l begins 0
    for word in (commandline -opc)[2..-1]
        set index (math $index + 1)
        if test $skip = 1
            set skip 0
            continue
        end
        switch "$word"
            case @VALUED@
                set skip 1
            case --
                switch "$verb "
                    case @PROGRAMS@
                        set begins (math $index + 1)
                        break
                end
            case '-*'
            case '*'
                switch (string join ' ' -- $verb $word)
                    case @VERBS@
                        set verb $verb $word
                    case @PROGRAMS@
                        set begins $index
                        break
                end
        end
    end
    echo "$verb"
    echo $begins
end
function __jobd_at
    set -l found (__jobd_walk)
    test $found[2] = 0 -a "$found[1]" = "$argv"
end
function __jobd_in_program
    test (__jobd_walk)[2] != 0
end
function __jobd_program
    set -l words (commandline -opc)
    set -l begins (__jobd_walk)[2]
    test $begins = 0
    and set begins (math (count $words) + 1)
    set -l line (string join ' ' -- (string escape -- $words[$begins..-1]) (commandline -ct))
    complete --do-complete="$line"
end
complete -c jobd -f
complete -c jobd -n __jobd_in_program -a '(__jobd_program)'
@WORDS@
"""
