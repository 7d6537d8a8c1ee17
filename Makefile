# Thin names for `python -m cfhelpers …`, which does the same on a machine without make.
PYTHON ?= python3
CHOICE = $(if $(PROFILE),--profile $(PROFILE))

.PHONY: help course test test-browser lab build homework site results pretrain bench

help:
	@$(PYTHON) -m cfhelpers --help

course:  ## install, run the notebooks, print a table (PROFILE=tiny|laptop|full, CHAPTERS="03 04")
	@$(PYTHON) -m cfhelpers course $(CHAPTERS) $(CHOICE)

test:  ## every check and every test
	@$(PYTHON) -m cfhelpers test

test-browser:  ## every notebook run and every widget moved in Chromium, which is installed if need be
	@$(PYTHON) -m cfhelpers test-browser

lab:  ## open JupyterLab on the notebooks (OPTIONS="--allow-root --port 9999": JupyterLab's own)
	@$(PYTHON) -m cfhelpers lab $(CHOICE) $(OPTIONS)

build:  ## notebooks/*.ipynb from notebooks/source/*.py, executed
	@$(PYTHON) -m cfhelpers build

homework:  ## make homework DO="build 03 --to hw1", DO="grade hw1" : see notebooks/TEACHING.md
	@$(PYTHON) -m cfhelpers homework $(or $(DO),list)

site:  ## the notebooks and the reference as a static site: build/site
	@$(PYTHON) -m cfhelpers site

results:  ## make results CHAPTER=03 PROFILE=tiny : the stored numbers of a chapter
	@$(PYTHON) -m cfhelpers results $(CHAPTER) $(CHOICE)

pretrain:  ## train the two bundled models again
	@$(PYTHON) -m cfhelpers pretrain

bench:  ## the Fisher diagonal and the penalty against their peers: takes about an hour of a quiet machine
	@$(PYTHON) -m cfhelpers bench
