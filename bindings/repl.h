/* The prompt, and what it shares with main.c. */
#ifndef REPL_H
#define REPL_H

#include <lua.h>

/* Reads, runs and prints until the end of input. Its Lua half, cnn.repl, prints the values. */
void repl_run(lua_State *L);

/* main.c: calls the function below its `count` arguments, all its results wanted, and returns lua_pcall's
 * status; the error on the stack is a message (with a traceback if the user asked for those). */
int program_call(lua_State *L, int count, int results);

/* main.c: true once after Ctrl-C that nothing else has answered, and answers it. */
int program_take_interruption(lua_State *L);

#endif
