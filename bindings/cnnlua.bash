# bash completion for cnnlua: its options, scripts, and the options that experiments share.

# The script on the line: the first word that is no option nor the value of one.
_cnnlua_script() {
    local i
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
            -e | -l | --threads) ((i++)) ;;
            -?*) ;;
            *)
                REPLY=${COMP_WORDS[i]}
                return
                ;;
        esac
    done
    REPLY=
}

# What follows a script: options, if it is an experiment, and files.
_cnnlua_arguments() {
    local script=$1 word=$2 before=$3
    if [[ $word != -* ]]; then
        case $before in
            --epochs | --limit | --seed) ;;
            --out) mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
            *) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
        esac
    elif grep -qs script_options -- "$script"; then
        mapfile -t COMPREPLY < <(compgen -W "--epochs --limit --seed --out --help" -- "$word")
    fi
}

_cnnlua() {
    local word=$2 before=$3 experiments REPLY
    COMPREPLY=()
    _cnnlua_script
    if [[ $REPLY ]]; then
        _cnnlua_arguments "$REPLY" "$word" "$before"
    elif [[ $before == -[el] || $before == --threads ]]; then
        :
    elif [[ $word == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "-e -i -l -v -E -W --threads --version -h --help --" -- "$word")
    else
        mapfile -t COMPREPLY < <(compgen -f -X '!*.lua' -- "$word"; compgen -d -- "$word")
        # With no file here of that name, the installed experiments.
        experiments=$(type -P "$1")
        experiments=${experiments%/bin/*}/share/cnnlua/scripts
        if ((${#COMPREPLY[@]} == 0)) && [[ $word != */* && -d $experiments ]]; then
            mapfile -t COMPREPLY < <(compgen -f -X '!*.lua' -- "$experiments/$word")
        fi
    fi
}

complete -o filenames -F _cnnlua cnnlua
